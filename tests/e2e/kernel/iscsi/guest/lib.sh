# For the jobs in the guest (busybox sh). /env, written by the host, sets PORTAL, PORTAL2, IQN, LUN and every --env.
# shellcheck shell=dash disable=SC1091,SC2012,SC2034,SC2153
. /env
up() { cut -d' ' -f1 /proc/uptime; }
say() { echo "[$(up)] $*"; }
ready() { echo "GUEST: READY"; }                      # the host now does what FAULTS has for the job
fail() { echo "JOB: FAIL $*"; dmesg | tail -12; exit 1; }
pass() {                                              # the end of every job: the kernel may not have complained
  dmesg | grep -E 'BUG:|Oops|EXT4-fs error|XFS .*(orrupt|shut.*down)|Buffer I/O error|lost (async page|sync page) write' && fail "kernel log"
  echo "JOB: PASS"
}
modules() { for m in "$@"; do modprobe "$m" 2> /dev/null || true; done; }     # built in, or not needed by this kernel
seconds() { cut -d. -f1 /proc/uptime; }

net_up() {                                            # address .2 on each portal's /24; NIC0 and NIC1 are vec* under UML
  modules virtio_pci virtio_net
  if [ -d /sys/class/net/vec0 ]; then NIC0=vec0 NIC1=vec1; else NIC0=eth0 NIC1=eth1; fi
  ip addr add "${PORTAL%.*}.2/24" dev "$NIC0" || fail "$NIC0"; ip link set "$NIC0" up
  ip addr add "${PORTAL2%.*}.2/24" dev "$NIC1" || fail "$NIC1"; ip link set "$NIC1" up
}
iscsi_up() {                                          # 21 is "no sessions": the daemon answers
  modules sd_mod iscsi_tcp crc32c_intel crc32c_generic
  iscsid -f > /tmp/iscsid.log 2>&1 &
  for _ in $(seq 100); do
    iscsiadm -m session > /dev/null 2>&1
    if [ $? = 21 ]; then return; fi
    usleep 50000
  done
  fail "iscsid does not answer"
}
discover() {                                          # discover PORTAL : SendTargets there lists IQN with that portal
  iscsiadm -m discovery -t sendtargets -o nonpersistent -p "$1" > /tmp/found || fail "discovery on $1"
  grep -q "^$1,[0-9]* $IQN\$" /tmp/found || { cat /tmp/found; fail "discovery on $1 does not list $IQN"; }
}
node_new() {                                          # node_new PORTAL [NAME VALUE]...
  portal=$1; shift
  iscsiadm -m node -o new -T "$IQN" -p "$portal" > /dev/null || fail "node $portal"
  while [ $# -gt 1 ]; do
    iscsiadm -m node -T "$IQN" -p "$portal" -o update -n "$1" -v "$2" || fail "parameter $1"
    shift 2
  done
}
node_new_quick() {                                    # node_new_quick PORTAL S : a dead peer is noticed in 3 s, I/O fails S later
  node_new "$1" 'node.conn[0].timeo.noop_out_interval' 1 'node.conn[0].timeo.noop_out_timeout' 2 \
    node.session.timeo.replacement_timeout "$2"
}
sessions() { ls /sys/class/iscsi_session 2> /dev/null | sed 's/session//' | sort -n; }
login() {                                             # login PORTAL : sets SESSION, and DISK to LUN's device in it
  iscsiadm -m node -T "$IQN" -p "$1" --login > /tmp/login.log 2>&1 || { cat /tmp/login.log; tail -3 /tmp/iscsid.log; fail "login $1"; }
  SESSION=$(sessions | tail -1)
  for _ in $(seq 200); do
    DISK=$(ls "/sys/class/iscsi_session/session$SESSION/device/target"*/*:*:*:"$LUN"/block 2> /dev/null | head -1)
    if [ -n "$DISK" ] && [ -b "/dev/$DISK" ]; then DISK=/dev/$DISK; return; fi
    usleep 50000
  done
  fail "no LUN $LUN on $1"
}
node_end() {                                          # node_end PORTAL : log out and forget what node_new said
  logout "$1"; iscsiadm -m node -o delete -T "$IQN" -p "$1" > /dev/null || fail "forget $1"
}
logout() { iscsiadm -m node -T "$IQN" -p "$1" --logout > /dev/null || fail "logout $1"; }
session_state() { cat "/sys/class/iscsi_session/session$1/state"; }
of_disk() { cat "/sys/block/${DISK#/dev/}/$1"; }      # of_disk size

# write_until SECONDS DIR PAUSE_US : one or more files of 512 KiB, each synced; sums in /tmp/sums, count in FILES, stalls of over 1 s shown
write_until() {
  : > /tmp/sums; FILES=0; end=$(($(seconds) + $1))
  while [ "$FILES" = 0 ] || [ "$(seconds)" -lt "$end" ]; do
    FILES=$((FILES + 1)); began=$(up)
    dd if=/dev/urandom of="$2/f$FILES" bs=64k count=8 conv=fsync 2> /dev/null || fail "write $FILES"
    sha256sum "$2/f$FILES" >> /tmp/sums
    awk -v a="$began" -v b="$(up)" -v i=$FILES 'BEGIN { if (b - a > 1) printf "[%s] write %d stalled %.1f s\n", b, i, b - a }'
    usleep "$3"
  done
}
check_files() {                                       # what write_until wrote, read from the target again
  sync; echo 3 > /proc/sys/vm/drop_caches
  sha256sum -c /tmp/sums > /tmp/checked 2>&1 || { grep -v OK /tmp/checked | head -3; fail checksums; }
}
