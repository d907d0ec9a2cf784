# CRC32C digests on headers and data; then the other corners of the negotiation: no immediate data, R2T for everything, short bursts. Each
# writes a file system's worth of files and reads them back from the target.
. /lib.sh
net_up; iscsi_up
conn_value() { cat "/sys/class/iscsi_connection/connection$SESSION:0/$1"; }
session_value() { cat "/sys/class/iscsi_session/session$SESSION/$1"; }
round() {                                             # round NAME : mkfs, write, read back, in a session of the node just made
  login "$PORTAL"
  say "$1: header_digest=$(conn_value header_digest) data_digest=$(conn_value data_digest)" \
    "initial_r2t=$(session_value initial_r2t) immediate_data=$(session_value immediate_data)" \
    "first_burst_len=$(session_value first_burst_len) max_burst_len=$(session_value max_burst_len)"
  mkfs.ext4 -q -F "$DISK" > /dev/null 2>&1 || fail "$1: mkfs"
  mount "$DISK" /mnt || fail "$1: mount"
  dd if=/dev/urandom of=/mnt/large bs=1M count=12 conv=fsync 2> /dev/null || fail "$1: write"
  write_until 1 /mnt 20000
  sha256sum /mnt/large >> /tmp/sums
  check_files
  umount /mnt; fsck.ext4 -fn "$DISK" > /dev/null 2>&1 || fail "$1: fsck"
}
node_new "$PORTAL" 'node.conn[0].iscsi.HeaderDigest' CRC32C 'node.conn[0].iscsi.DataDigest' CRC32C
round digests
[ "$(conn_value header_digest)" = 1 ] || fail "no header digest"
[ "$(conn_value data_digest)" = 1 ] || fail "no data digest"
node_end "$PORTAL"
node_new "$PORTAL" node.session.iscsi.InitialR2T Yes node.session.iscsi.ImmediateData No \
  node.session.iscsi.FirstBurstLength 8192 node.session.iscsi.MaxBurstLength 16384 'node.conn[0].iscsi.MaxRecvDataSegmentLength' 8192
round solicited
[ "$(session_value initial_r2t)" = 1 ] || fail "InitialR2T is not Yes"
[ "$(session_value immediate_data)" = 0 ] || fail "ImmediateData is not No"
node_end "$PORTAL"
node_new "$PORTAL" node.session.iscsi.InitialR2T No node.session.iscsi.ImmediateData No \
  'node.conn[0].iscsi.HeaderDigest' CRC32C 'node.conn[0].iscsi.DataDigest' CRC32C
round unsolicited
node_end "$PORTAL"
pass
