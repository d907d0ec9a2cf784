# What a unit says of itself, in the words of sg3_utils: every VPD page, mode and log pages, supported commands, port groups,
# write protection by the control mode page, and SANITIZE with its progress.
. /lib.sh
net_up; iscsi_up; modules sg
node_new "$PORTAL"
login "$PORTAL"
sg_turs "$DISK" > /dev/null 2>&1                      # the unit attention of a new session
says() { # says PATTERN COMMAND... : it succeeds, and says so
  pattern=$1; shift
  "$@" > /tmp/said 2>&1 || { cat /tmp/said; fail "$*: exit $?"; }
  grep -qiE "$pattern" /tmp/said || { cat /tmp/said; fail "no '$pattern' in: $*"; }
}
fails() { # fails PATTERN COMMAND... : it is refused, with this word
  pattern=$1; shift
  if "$@" > /tmp/said 2>&1; then cat /tmp/said; fail "$* succeeded"; fi
  grep -qiE "$pattern" /tmp/said || { cat /tmp/said; fail "no '$pattern' in: $*"; }
}
says 'Vendor identification: ASHLAR' sg_inq "$DISK"
says 'logical block provisioning' sg_vpd --all "$DISK"
grep -qiE 'bad|short|illegal|unexpected' /tmp/said && { cat /tmp/said; fail "sg_vpd finds fault"; }
says '0x602a51a' sg_vpd --page=di "$DISK"
says 'thin provisioned' sg_vpd --page=lbpv "$DISK"
says 'Receive copy status' sg_vpd --page=tpc "$DISK"
say "every VPD page can be read"

says 'Control extension' sg_modes --all --all "$DISK"
says 'SWP|Control' sg_modes --page=0xa "$DISK"
says 'Supported log pages' sg_logs --page=0 "$DISK"
says 'Informational' sg_logs --page=0x2f "$DISK"
says 'active/optimized' sg_rtpg --decode "$DISK"
says 'Extended copy' sg_opcodes --rctd "$DISK"
says 'Abort task set' sg_opcodes --tmf "$DISK"
says 'Usage data: 28' sg_opcodes --opcode=0x28 "$DISK"
says 'lun' sg_luns "$DISK"
sg_senddiag --test "$DISK" || fail "the default self-test"
says 'lbpme=1, lbprz=1' sg_readcap --long "$DISK"
say "modes, logs, commands and ports are told"

write_one() { dd if=/dev/urandom of="$DISK" bs=4096 count=1 oflag=direct conv=fsync 2> /dev/null; }
write_one || fail "the unit does not take writes"
sg_wr_mode --page=0xa --contents=8a,a,2,10,8,0,0,0,ff,ff,0,0 "$DISK" || fail "SWP cannot be set"
says 'WP=1' sg_modes --page=0xa "$DISK"
if write_one; then fail "software write protection does not protect"; fi
sg_wr_mode --page=0xa --contents=8a,a,2,10,0,0,0,0,ff,ff,0,0 "$DISK" || fail "SWP cannot be cleared"
write_one || fail "the unit stays protected"
fails 'Illegal request|invalid field' sg_wr_mode --page=8 --contents=88,12,4,0,0,0,0,0,0,0,0,0,20,0,0,0,0,0,0,0 "$DISK"
say "software write protection holds"

sg_sanitize --overwrite --zero --ipl=4 --early --quick --desc "$DISK" > /tmp/said 2>&1 || { cat /tmp/said; fail "sanitize"; }
fails 'sanitize|not ready' sg_turs --verbose "$DISK"
says 'progress' sg_requests --progress "$DISK"
for _ in $(seq 300); do if sg_turs "$DISK" > /dev/null 2>&1; then break; fi; usleep 100000; done
sg_turs "$DISK" || fail "the sanitize operation does not end"
[ "$(dd if="$DISK" bs=4096 count=1 iflag=direct 2> /dev/null | tr -d '\0' | wc -c)" = 0 ] || fail "it is not wiped"
say "the unit is wiped"
logout "$PORTAL"
pass
