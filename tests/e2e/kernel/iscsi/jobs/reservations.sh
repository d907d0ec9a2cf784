# Persistent reservations between two I_T nexuses of one host, by sg_persist: register, reserve, a conflict that the other
# path feels, preempt; and with APTPL=1 they outlive a kill of the target.
. /lib.sh
net_up; iscsi_up; modules sg
node_new "$PORTAL"; node_new "$PORTAL2"
login "$PORTAL"; one=$DISK
login "$PORTAL2"; two=$DISK
out() { sg_persist --no-inquiry --out "$@" > /tmp/persist 2>&1 || { cat /tmp/persist; fail "sg_persist $*"; }; }
holds() {                                             # holds WHAT PATTERN ; asked twice: the first may only bring a unit attention
  sg_persist --no-inquiry --in "$1" "$one" > /tmp/persist 2>&1 || sg_persist --no-inquiry --in "$1" "$one" > /tmp/persist 2>&1
  grep -qi "$2" /tmp/persist || { cat /tmp/persist; fail "no $2 in $1"; }
}
write_to() { dd if=/dev/zero of="$1" bs=4096 count=1 oflag=direct conv=fsync 2> /dev/null; }
read_from() { dd if="$1" of=/dev/null bs=4096 count=1 iflag=direct 2> /dev/null; }
keep=; if [ "${APTPL:-1}" = 1 ]; then keep=--param-aptpl; fi

out --register $keep --param-sark=a11 "$one"
holds --read-keys 0xa11
out --reserve --param-rk=a11 --prout-type=5 "$one"    # write exclusive, registrants only
holds --read-reservation 'registrants only'
write_to "$one" || fail "the holder cannot write"
read_from "$two" || fail "the other path cannot read"
if write_to "$two"; then fail "the other path wrote through the reservation"; fi
say "the reservation holds the other path off"
out --register $keep --param-sark=b22 "$two"
write_to "$two" || fail "a registrant cannot write"

if [ "${APTPL:-1}" = 1 ]; then
  ready
  for _ in $(seq 300); do if dmesg | grep -q 'detected conn error'; then break; fi; usleep 100000; done
  dmesg | grep -q 'detected conn error' || fail "the target was never away"
  read_from "$one" || read_from "$one" || fail "no reads after the restart"
  read_from "$two" || read_from "$two" || fail "no reads on the other path after the restart"
  holds --read-keys 0xa11; holds --read-keys 0xb22
  holds --read-reservation 'registrants only'
  write_to "$one" || fail "the holder cannot write after the restart"
  say "keys and reservation outlived the target"
fi
out --preempt --param-rk=b22 --param-sark=a11 --prout-type=5 "$two"
holds --read-reservation 0xb22
if write_to "$one"; then fail "the preempted path can still write"; fi
out --clear --param-rk=b22 "$two"
write_to "$one" || fail "a cleared unit does not take writes"
logout "$PORTAL"; logout "$PORTAL2"
pass
