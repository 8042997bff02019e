"""What the demo shows: a live table while traffic runs, and one screen at the end.

Called by demo. On a terminal the live part is redrawn in place; elsewhere (a log file) each act is
a line, with one table in the middle of it.
"""
import contextlib
import shutil
import subprocess
import sys
import textwrap
import threading
import time

from stage import NFS, duration

TTY = sys.stdout.isatty()
LIVE, OVER = ("\033[?1049h\033[?25l", "\033[?25h\033[?1049l") if TTY else ("", "")
IMAGES = {"process": "own process", "guest": "QEMU guest"}
HOME, TO_END_OF_LINE, TO_END = "\033[H", "\033[K", "\033[J"
REFRESH_S = 0.5


def colour(code, text):
    """Text in a colour, on a terminal."""
    return f"\033[{code}m{text}\033[0m" if TTY else text


def mark(passed):
    """Tick or cross."""
    return colour("32", "✓") if passed else colour("31", "✗")


class Table:
    """The live table: frames of netvm top, each of which begins with the line "ports"."""

    def __init__(self):
        self.frame = []
        self.top = None

    def start(self):
        """Start netvm top and keep its newest frame."""
        self.top = subprocess.Popen(["netvm", "top", "-d", str(REFRESH_S)], text=True, stdout=subprocess.PIPE,
                                    stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        lines = []
        for line in self.top.stdout:
            if line == "ports\n":
                self.frame, lines = lines, []
            lines.append(line.rstrip("\n"))

    def stop(self):
        """No more frames."""
        if self.top:
            self.top.kill()
            self.top.wait()
            self.top = None


class Screen:
    """The running show and its last picture."""

    def __init__(self, acts):
        self.acts = acts
        self.results = {}
        self.current = None
        self.table = Table()
        self.began = time.monotonic()
        self.lock = threading.Lock()
        self.over = threading.Event()

    @staticmethod
    def restore():
        """The terminal as it was."""
        sys.stdout.write(OVER)
        sys.stdout.flush()

    @contextlib.contextmanager
    def live(self):
        """Draw until the end of the block."""
        self.table.start()
        sys.stdout.write(LIVE)
        painter = threading.Thread(target=self._paint)
        painter.start()
        try:
            yield
        finally:
            self.over.set()
            painter.join()
            self.table.stop()
            self.restore()

    def begins(self, act):
        """This act is on."""
        self.current = act

    def ends(self, act, result):
        """This act is over."""
        self.results[act] = result
        if not TTY:
            print(f"{mark(result.passed)} {act.title:16} {result.text}", flush=True)

    def _paint(self):
        shown = None
        while not self.over.wait(REFRESH_S):
            if TTY:
                self._draw()
            elif shown != self.current and self.table.frame:
                shown = self.current
                print("\n".join(["", f"during {self.current.title}:", *self.table.frame]),
                      flush=True)

    def _draw(self):
        """Checklist above, table below, as much as fits."""
        columns, rows = shutil.get_terminal_size()
        lines = [colour("1", " NetVM demo") + f"   {time.monotonic() - self.began:3.0f} s", ""]
        for act in self.acts:
            result = self.results.get(act)
            if result:
                lines.append(f"  {mark(result.passed)} {act.title:16} {result.text}")
            elif act == self.current:
                lines.append(colour("1", f"  ▸ {act.title} …"))
            else:
                lines.append(f"    {act.title}")
        tables, books = fit(self.table.frame, columns)
        lines += ["", *tables[:max(0, rows - 2 - len(lines) - len(books))], *books]
        text = "".join(f"{line}{TO_END_OF_LINE}\n" for line in lines[:rows - 1])
        sys.stdout.write(HOME + text + TO_END)
        sys.stdout.flush()

    def finish(self, stage, exit_status):
        """Draw the last screen; True when all was well."""
        books = stage.final["books"]
        balanced = books["balanced"] and conserved(books)
        good = balanced and exit_status == 0 and all(
            act in self.results and self.results[act].passed for act in self.acts)
        print("\n".join([
            "",
            colour("1", "  NetVM: two hosts, joined only by a chain of three network functions"),
            "",
            *topology(stage),
            "",
            colour("1", "  What passed"),
            *self._lines(refused=False),
            "",
            colour("1", "  What was refused, and why"),
            *self._lines(refused=True),
            "",
            colour("1", "  Where every packet went"),
            *conservation(books, stage.sentences, balanced, notes(stage)),
            *([] if exit_status == 0 else ["", f"  {mark(False)} netvmd ended with {exit_status}:",
                                           stage.log()]),
            "",
            verdict(good, time.monotonic() - self.began),
            "",
        ]))
        return good

    def _lines(self, refused):
        for act in self.acts:
            result = self.results.get(act)
            if act.refused == refused and result:
                yield f"    {mark(result.passed)} {act.title:16} {result.text}"


def fit(frame, columns):
    """A frame in so many columns: its tables without what says least, and its books, wrapped."""
    at = frame.index("books") if "books" in frame else len(frame)
    tables, books = frame[:at], frame[at:]
    for header in ("WAKEUPS/s", "BATCH"):
        if any(len(line) > columns for line in tables):
            tables = without(tables, header)
    return ([line[:columns] for line in tables],
            [part for line in books
             for part in textwrap.wrap(line, columns, subsequent_indent="    ")])


def without(tables, header):
    """The tables without that column; its neighbour on the left must be flush right, too."""
    cut, shorter = slice(0, 0), []
    for line in tables:
        if line[:1] != " ":
            cut = slice(0, 0)  # the title of the next table
        elif header in line:
            at = line.index(header)
            cut = slice(len(line[:at].rstrip()), at + len(header))
        shorter.append(line[:cut.start] + line[cut.stop:])
    return shorter


def topology(stage):
    """The drawing: hosts, ports, NFs, and where each NF found the packet that was traced."""
    line = "─" * 14
    images = [IMAGES[stage.final["nfs"][name]["image"]] for name in NFS]
    drawing = [
        "              " + "   ".join(f"┌{line}┐" for _ in NFS),
        "   client ──► " + "──►".join(f"│{name:^14}│" for name in NFS) + " ──► server",
        "   10.0.0.1   " + "   ".join(f"│{image:^14}│" for image in images) + "   10.0.0.2",
        "              " + "   ".join(f"└{line}┘" for _ in NFS),
    ]
    if stage.hops:
        places = [f"0x{hop['address'] + hop['offset']:x}" for hop in stage.hops]
        times = [duration(hop.get("took_ns", 0)) for hop in stage.hops]
        drawing += [
            "   lay at     " + "   ".join(f"{place:^16}" for place in places).rstrip(),
            "   for        " + "   ".join(f"{time_at:^16}" for time_at in times).rstrip(),
            "",
            "   One packet, followed by netvm trace: each NF found it at "
            + ("the same place" if len(set(places)) == 1 else "ANOTHER place")
            + " in shared memory.",
        ]
    return [
        *drawing,
        f"   Of all packets, {stage.final['books']['copied']} were copied on their way. "
        f"The NFs run as user {', '.join(sorted(stage.users))}.",
    ]


def conserved(books):
    """The line, recomputed."""
    return books["received"] + books["injected"] == (
        books["sent"] + books["consumed"] + books["dropped"] + books["in_flight"])


def notes(stage):
    """What the demo knows about some drops."""
    on_tape, early = stage.refused_on_tape, stage.early
    refused = stage.final["books"]["drops"].get("nf-verdict", 0) - on_tape
    return {"nf-verdict": f"{refused:,} refused above, {on_tape:,} from the tape",
            "service-down": f"{early:,} of them before the NFs had started"}


def conservation(books, sentences, balanced, remarks):
    """The books: what came in on the left, where it went on the right, and why it was dropped."""
    rows = [("received", "sent"), ("injected", "consumed"), ("", "dropped"), ("", "in_flight")]
    number = "{:>13,}".format
    for left, right in rows:
        yield (f"    {left:9}{number(books[left]) if left else '':13}     "
               f"{right.replace('_', ' '):10}{number(books[right])}")
    yield f"             {'─' * 13}               {'─' * 13}"
    total = books["received"] + books["injected"]
    other = books["sent"] + books["consumed"] + books["dropped"] + books["in_flight"]
    yield (f"             {number(total)}  {'=' if total == other else '≠':^11}  {number(other)}"
           f"  {mark(balanced)} {'exact' if balanced else 'NOT BALANCED'}")
    yield ""
    for label, count in sorted(books["drops"].items()):
        if count:
            yield f"    {count:>9,} dropped as {label}: {sentences[label]}"
            if label in remarks:
                yield f"              ({remarks[label]})"


def verdict(good, seconds):
    """The last line."""
    if not good:
        return colour("1;31", f"  Something is off, see the crosses above. ({seconds:.0f} s)")
    return colour("1;32", f"  All good, in {seconds:.0f} s.") + (
        " Everything made for this is gone again. Your own NF: docs/quickstart.md")
