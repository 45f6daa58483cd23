/* SPDX-License-Identifier: Apache-2.0
 *
 * What nvo3-nva says to a policy's text, for programs in C.
 *
 * Place: nva, between nvactl_policy.c (C) and network_policy.h (C++).  Thread: pure. */
#ifndef NVA_POLICY_CHECK_H
#define NVA_POLICY_CHECK_H 1

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Octets of a text, at most: as policy::kMaxText. */
#define POLICY_MAX_TEXT (1 << 20)

struct policy_network {
    const char *name;
    uint32_t vni;
};

/* What is wrong with the text, with its line, or with networks that it names and
 * that are not among 'networks'; a malloc'd sentence.  NULL: nothing, '*summary'
 * is malloc'd and says how much there is. */
char *policy_check(const char *text, const struct policy_network *networks,
                   size_t n_networks, char **summary);

/* The lines of a good text that are this statement, whatever its spaces and the
 * order of its options; of "gateway VN" alone, VN's gateway.  The number of lines,
 * '*lines' is malloc'd. */
size_t policy_find(const char *text, const char *statement, size_t **lines);

/* The first line of a good text that names the network, by name or VNI; 0: none. */
size_t policy_line_of(const char *text, const struct policy_network *network);

#ifdef __cplusplus
}
#endif
#endif
