#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# nvo3-pki: what it makes is what hvagent expects, and what it refuses.
set -eu
srcdir=${srcdir:-$(dirname "$0")/../../..}
pki=$srcdir/utilities/nvo3-pki
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
ca=$work/ca

fail() { echo "FAIL: $*" >&2; exit 1; }
run() { "$pki" --quiet --dir "$ca" "$@"; }
refused() {    # WORDS-EXPECTED ARG...
    words=$1; shift
    if run "$@" 2>"$work/err"; then fail "'$*' was not refused"; fi
    grep -q -- "$words" "$work/err" || fail "'$*' did not say '$words' but: $(cat "$work/err")"
}
verify() { openssl verify -CAfile "$ca/ca.crt" -CRLfile "$ca/ca.crl" -crl_check "$@" >/dev/null 2>&1; }

refused "there is no CA in" list
"$pki" --quiet init --trust-domain example.net "$ca"
refused "already holds a CA" init
run host hv1
run host nva1 --role=nva --key-type rsa
run host old --start 20200101000000Z --end 20200201000000Z

[ "$(stat -c %a "$ca/hv1.key" "$ca/private/ca.key" | sort -u)" = 600 ] || fail "a private key is not mode 0600"
openssl x509 -in "$ca/hv1.crt" -noout -ext subjectAltName |
    grep -q 'URI:spiffe://example.net/nvo3/nve/hv1, DNS:hv1$' || fail "names in hv1.crt"
openssl x509 -in "$ca/nva1.crt" -noout -ext subjectAltName | grep -q 'nvo3/nva/nva1' || fail "role in nva1.crt"
openssl x509 -in "$ca/hv1.crt" -noout -text | grep -q prime256v1 || fail "hv1 has no P-256 key"
[ "$(openssl x509 -in "$ca/hv1.crt" -noout -pubkey)" = "$(openssl pkey -in "$ca/hv1.key" -pubout)" ] || fail "key of hv1"
verify -purpose sslserver "$ca/hv1.crt" || fail "hv1 is not a valid server"
verify -purpose sslclient "$ca/nva1.crt" || fail "nva1 is not a valid client"
if verify "$ca/old.crt"; then fail "the ended certificate verifies"; fi

refused "already has a certificate" host hv1
refused "is not valid" host ../hv3
refused "is reserved" host ca
refused "is not known" host hv3 --role admin
refused "is not a number" host hv3 --days 0
refused "unknown command" frob
refused "has no valid certificate" revoke hv9

run host nva1 --renew
openssl x509 -in "$ca/nva1.crt" -noout -ext subjectAltName | grep -q 'nvo3/nva/nva1' || fail "nva1 has lost its role by --renew"

cp "$ca/hv1.crt" "$work/hv1-first.crt"
run host hv1 --renew
cp "$ca/hv1.crt" "$work/hv1-second.crt"
run revoke hv1
for crt in first second; do
    if verify "$work/hv1-$crt.crt"; then fail "the $crt hv1 verifies after its revocation"; fi
done
verify "$ca/nva1.crt" || fail "nva1 fell with hv1"
run host hv1
verify "$ca/hv1.crt" || fail "the hv1 made after the revocation does not verify"
run list >"$work/list"
[ "$(grep -c '^hv1 .*revoked' "$work/list")" = 2 ] && grep -q '^old .*expired' "$work/list" || fail "list: $(cat "$work/list")"
echo "nvo3-pki: ok"
