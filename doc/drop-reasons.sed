# SPDX-License-Identifier: Apache-2.0
# From lib/esp/drop_reason.h, the counters as they stand in ovs-nvo3.conf(5).
/define NVO3_DROP_REASONS/,/^$/{
    s/^ *X(\([a-z_]*\), "\(.*\)").*/.TP\n.B nvo3_drop_\1\nRefused: \2./p
}
/define NVO3_EVENTS/,/^$/{
    s/^ *X(\([a-z_]*\), "\(.*\)").*/.TP\n.B nvo3_\1\nCounted: \2./p
}
