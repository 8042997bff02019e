// The headers are C++11, too.
#include "headers_test.c"
