# bash completion for netvm. The command itself knows what may stand where.
_netvm()
{
	local line=${COMP_LINE:0:COMP_POINT} word text last keep
	local -a words

	read -ra words <<<"$line"
	[[ $line == *[[:space:]] ]] && words+=("")
	last=${words[-1]}
	# Readline splits words at = and : too, and replaces only what stands behind them.
	keep=${last%"${last##*[=:]}"}
	COMPREPLY=()
	while IFS=$'\t' read -r word text; do
		if [[ -z $word ]]; then
			compopt -o default
			continue
		fi
		[[ $word == *[=:] ]] && compopt -o nospace
		COMPREPLY+=("${word#"$keep"}")
	done < <("${words[0]}" complete -- "${words[@]:1}" 2>/dev/null)
}
complete -F _netvm netvm
