# SPDX-License-Identifier: Apache-2.0
EXTRA_DIST += README.md NEWS CONTRIBUTING.md doc/man/nvo3-sandbox.8 \
	$(wildcard $(srcdir)/doc/*.md) \
	doc/drop-reasons.sed doc/man/ovs-nvo3.conf.5.in \
	$(wildcard $(srcdir)/doc/decisions/*.md) \
	$(wildcard $(srcdir)/doc/operations/*.md)

dist_man_MANS += doc/man/hvagent.8 doc/man/nvo3-nva.8 doc/man/nvo3-nvactl.8

# The statistics of the manual are those of the one list in the source.
nodist_man_MANS = doc/man/ovs-nvo3.conf.5
CLEANFILES += doc/man/ovs-nvo3.conf.5
doc/man/ovs-nvo3.conf.5: doc/man/ovs-nvo3.conf.5.in doc/drop-reasons.sed lib/esp/drop_reason.h
	@$(MKDIR_P) doc/man
	$(AM_V_GEN)sed -n -f $(srcdir)/doc/drop-reasons.sed $(srcdir)/lib/esp/drop_reason.h >$@.list && \
	sed -e '/@COUNTERS@/{r $@.list' -e 'd;}' $(srcdir)/doc/man/ovs-nvo3.conf.5.in >$@.tmp && \
	rm $@.list && mv $@.tmp $@
