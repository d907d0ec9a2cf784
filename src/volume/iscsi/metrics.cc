#include "volume/iscsi/metrics.h"

namespace ashlar::iscsi {
namespace {

TargetMetrics::Kind make_kind(MetricGroup& group, const char* kind) {
  return {group.counter("ashlar_iscsi_commands_total", "SCSI commands executed", {{"kind", kind}}),
          group.duration_histogram("ashlar_iscsi_command_duration_seconds",
                                   "Time from a command's arrival until it is executed",
                                   {{"kind", kind}})};
}

}  // namespace

TargetMetrics::TargetMetrics(MetricRegistry* registry)
    : group_((registry != nullptr ? *registry : own_).group()),
      connections(group_.gauge("ashlar_iscsi_connections", "Connections that are open")),
      sessions(group_.gauge("ashlar_iscsi_sessions", "Sessions in full feature phase")),
      refused_connections(group_.counter("ashlar_iscsi_refused_connections_total",
                                         "Connections closed because there were too many")),
      accept_errors(group_.counter("ashlar_iscsi_accept_errors_total",
                                   "Times that a connection could not be accepted")),
      logins(group_.counter("ashlar_iscsi_logins_total", "Logins that became a session")),
      failed_logins(group_.counter("ashlar_iscsi_failed_logins_total",
                                   "Logins that were refused, broken off or too slow")),
      moved_connections(group_.counter("ashlar_iscsi_moved_connections_total",
                                       "Connections handed to the reactor of their target")),
      read(make_kind(group_, "read")),
      write(make_kind(group_, "write")),
      other(make_kind(group_, "other")),
      failed_commands(group_.counter("ashlar_iscsi_failed_commands_total",
                                     "SCSI commands answered with a status other than GOOD")),
      data_in_bytes(group_.counter("ashlar_iscsi_data_in_bytes_total", "Bytes sent to initiators")),
      data_out_bytes(
          group_.counter("ashlar_iscsi_data_out_bytes_total", "Bytes received from initiators")),
      receives(group_.counter("ashlar_iscsi_receives_total", "Receives that brought bytes")),
      received_pdus(group_.counter("ashlar_iscsi_received_pdus_total", "PDUs received")),
      moved_bytes(group_.counter("ashlar_iscsi_moved_bytes_total",
                                 "Payload bytes copied because they landed in the wrong place")),
      sends(
          group_.counter("ashlar_iscsi_sends_total", "Sends, each with all PDUs that were ready")),
      ignored_commands(group_.counter("ashlar_iscsi_ignored_commands_total",
                                      "Commands outside of the command window")),
      dropped_data(group_.counter("ashlar_iscsi_dropped_data_total",
                                  "Data-Out PDUs that belong to no command")),
      rejects(group_.counter("ashlar_iscsi_rejects_total", "PDUs answered with Reject")),
      digest_errors(group_.counter("ashlar_iscsi_digest_errors_total",
                                   "PDUs whose header or data did not match its digest")),
      failed_data_out(group_.counter("ashlar_iscsi_failed_data_out_total",
                                     "Commands failed because their data was not as promised")),
      task_management(group_.counter("ashlar_iscsi_task_management_total",
                                     "Task management functions requested")),
      pings(group_.counter("ashlar_iscsi_pings_total", "NOP-In sent to silent connections")),
      dead_peers(group_.counter("ashlar_iscsi_dead_peers_total",
                                "Connections closed because the peer did not answer")) {}

}  // namespace ashlar::iscsi
