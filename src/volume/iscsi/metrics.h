// The series of one reactor's targets, each with one writer: the reactor.
#pragma once

#include "common/metrics/metrics.h"

namespace ashlar::iscsi {

class TargetMetrics {
 public:
  // `registry` may be null: then nothing is exposed, and nothing costs more.
  explicit TargetMetrics(MetricRegistry* registry);

 private:
  MetricRegistry own_;  // before the group, which must have one
  MetricGroup group_;

 public:
  Gauge& connections;
  Gauge& sessions;
  Counter& refused_connections;  // beyond connections_max
  Counter& accept_errors;
  Counter& logins;
  Counter& failed_logins;
  Counter& moved_connections;  // to the reactor of their target

  struct Kind {
    Counter& commands;
    DurationHistogram& seconds;  // from the receive that brought it until it is executed
  };
  Kind read;
  Kind write;
  Kind other;
  Counter& failed_commands;  // with a status that is not good
  Counter& data_in_bytes;
  Counter& data_out_bytes;

  Counter& receives;
  Counter& received_pdus;
  Counter& moved_bytes;  // payload that did not land where it is wanted
  Counter& sends;
  Counter& ignored_commands;  // CmdSN outside of the window
  Counter& dropped_data;      // Data-Out PDUs of no task
  Counter& rejects;
  Counter& digest_errors;
  Counter& failed_data_out;  // commands whose data was not what was asked for
  Counter& task_management;
  Counter& pings;
  Counter& dead_peers;  // connections closed because nothing was heard
};

}  // namespace ashlar::iscsi
