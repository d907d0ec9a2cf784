// The answer to SendTargets (RFC 7143, appendix C): which targets there are and where.
//
//   in a discovery session   All: every target that the initiator may log in to; NAME: that one
//   in a normal session      an empty value or the session's own target: that one's addresses
//
// What an initiator may not log in to it does not see (L98): a forbidden name and one that does not
// exist give the same empty answer. Only advertised addresses are told, never a wildcard (L74).
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "volume/iscsi/login.h"
#include "volume/iscsi/target_server.h"
#include "volume/iscsi/text.h"

namespace ashlar::iscsi {

// "SendTargets=Reject" when the value may not be in this kind of session.
void answer_send_targets(std::string_view value, const LoginIdentity& identity,
                         std::span<const TargetDirectory::Entry> targets,
                         std::span<const Portal> portals, TextWriter& reply);

}  // namespace ashlar::iscsi
