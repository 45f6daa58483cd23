// SPDX-License-Identifier: Apache-2.0
//
// See privileges.h.
#include "daemon/privileges.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace nvo3::daemon {

base::Status drop_privileges()
{
    auto failed = [](const char* what) { return base::Error{errno, std::string("cannot ") + what + ": " + strerror(errno)}; };

    umask(077);
    rlimit none{};
    if (setrlimit(RLIMIT_CORE, &none) != 0) {
        return failed("turn core dumps off");
    }
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        return failed("restrict the process");
    }

    // The system call itself: the C library has no wrapper, and libcap is not worth it.
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3]{};
    if (syscall(SYS_capget, &header, data) != 0) {
        return failed("read capabilities");
    }
    const uint32_t keep = 1u << CAP_DAC_OVERRIDE | 1u << CAP_DAC_READ_SEARCH;
    data[0].permitted &= keep;
    data[0].effective = data[0].permitted;
    data[0].inheritable = 0;
    data[1] = {};
    if (syscall(SYS_capset, &header, data) != 0) {
        return failed("drop capabilities");
    }
    return {};
}

}  // namespace nvo3::daemon
