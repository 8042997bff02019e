/*
 * C++ spells C11's _Static_assert without the underscore. Included by the headers of this folder.
 */
#ifndef NETVM_ABI_STATIC_ASSERT_H
#define NETVM_ABI_STATIC_ASSERT_H

#if defined(__cplusplus) && !defined(_Static_assert)
#define _Static_assert static_assert
#endif

#endif
