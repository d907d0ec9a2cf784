# Mutual CHAP: the right secrets log in, and every wrong one is refused, whichever side it is on.
. /lib.sh
net_up; iscsi_up
try_login() { iscsiadm -m node -T "$IQN" -p "$PORTAL" --login > /tmp/login.log 2>&1; }
refused() {                                           # refused WHAT [NAME VALUE]... : a login so has to fail
  what=$1; shift
  node_new "$PORTAL" node.session.initial_login_retry_max 1 "$@"
  if try_login; then fail "a login with $what went through"; fi
  say "refused: $what"
  iscsiadm -m node -o delete -T "$IQN" -p "$PORTAL" > /dev/null
}
refused "no credentials"
refused "a wrong secret" node.session.auth.authmethod CHAP node.session.auth.username "$CHAP_NAME" \
  node.session.auth.password "not the secret"
refused "a wrong name" node.session.auth.authmethod CHAP node.session.auth.username "someone" \
  node.session.auth.password "$CHAP_SECRET"
refused "a wrong secret of the target" node.session.auth.authmethod CHAP node.session.auth.username "$CHAP_NAME" \
  node.session.auth.password "$CHAP_SECRET" node.session.auth.username_in "$MUTUAL_NAME" \
  node.session.auth.password_in "not the secret"
node_new "$PORTAL" node.session.auth.authmethod CHAP node.session.auth.username "$CHAP_NAME" \
  node.session.auth.password "$CHAP_SECRET" node.session.auth.username_in "$MUTUAL_NAME" \
  node.session.auth.password_in "$MUTUAL_SECRET"
login "$PORTAL"
dd if=/dev/urandom of=/tmp/data bs=1M count=4 2> /dev/null
dd if=/tmp/data of="$DISK" bs=1M conv=fsync 2> /dev/null || fail write
echo 3 > /proc/sys/vm/drop_caches
dd if="$DISK" bs=1M count=4 2> /dev/null | cmp - /tmp/data || fail "other bytes came back"
logout "$PORTAL"
pass
