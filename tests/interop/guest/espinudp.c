// SPDX-License-Identifier: Apache-2.0
//
// espinudp PORT: makes the kernel take ESP from UDP port PORT of IPv4 and IPv6
// (RFC 3948): udp(7)'s UDP_ENCAP needs a socket, which iproute2 cannot make.
// Returns when both sockets are there; a process in the background keeps them.
// Static program of the test guest; one thread.
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

// linux/udp.h; it cannot be included together with the C library's header.
enum { kUdpEncap = 100, kNoCheck6Rx = 102, kEspInUdp = 2 };

static int set(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof value);
}

static int open_socket(int family, int port)
{
    struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
    struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port) };
    int fd = socket(family, SOCK_DGRAM, 0);

    if (fd < 0) {
        return -1;
    }
    if (family == AF_INET6) {
        // A zero UDP checksum is what the sender may use here (RFC 6935, RFC 6936).
        if (set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1) || set(fd, IPPROTO_UDP, kNoCheck6Rx, 1)
            || bind(fd, (struct sockaddr *) &v6, sizeof v6)) {
            return -1;
        }
    } else if (bind(fd, (struct sockaddr *) &v4, sizeof v4)) {
        return -1;
    }
    return set(fd, IPPROTO_UDP, kUdpEncap, kEspInUdp);
}

int main(int argc, char *argv[])
{
    int port = argc == 2 ? atoi(argv[1]) : 0;

    if (port <= 0 || port > 65535) {
        fprintf(stderr, "usage: espinudp PORT\n");
        return 2;
    }
    if (open_socket(AF_INET, port) || open_socket(AF_INET6, port)) {
        perror("espinudp");
        return 1;
    }
    pid_t keeper = fork();
    if (keeper != 0) {
        return keeper < 0;
    }
    fclose(stdin);
    fclose(stdout);
    fclose(stderr);
    for (;;) {
        pause();
    }
}
