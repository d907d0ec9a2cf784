#include "common/runtime/uring/ring.h"

#include <array>
#include <cerrno>
#include <cstdio>
#include <string>

#include <sys/utsname.h>

namespace ashlar::uring {
namespace {

// Linked entries have to fit together, and a burst should not take a submission each.
constexpr unsigned kEntriesMin = 4;

struct SetupMode {
  unsigned flags;
  const char* name;
};

// Best first. DEFER_TASKRUN came with 6.1, COOP_TASKRUN with 5.19. A kernel that has neither also
// lacks RECVSEND_POLL_FIRST, which no probe tells of, and would fail receives later: it is refused.
constexpr std::array kSetupModes = {
    SetupMode{IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
              "single_issuer defer_taskrun"},
    SetupMode{IORING_SETUP_COOP_TASKRUN, "coop_taskrun"},
};

struct NeededOpcode {
  int opcode;
  const char* name;
};

constexpr std::array kNeededOpcodes = {
    NeededOpcode{IORING_OP_READ, "READ"},
    NeededOpcode{IORING_OP_WRITE, "WRITE"},
    NeededOpcode{IORING_OP_READV, "READV"},
    NeededOpcode{IORING_OP_WRITEV, "WRITEV"},
    NeededOpcode{IORING_OP_FSYNC, "FSYNC"},
    NeededOpcode{IORING_OP_FALLOCATE, "FALLOCATE"},
    NeededOpcode{IORING_OP_ACCEPT, "ACCEPT"},
    NeededOpcode{IORING_OP_CONNECT, "CONNECT"},
    NeededOpcode{IORING_OP_RECV, "RECV"},
    NeededOpcode{IORING_OP_SEND, "SEND"},
    NeededOpcode{IORING_OP_RECVMSG, "RECVMSG"},
    NeededOpcode{IORING_OP_SENDMSG, "SENDMSG"},
    NeededOpcode{IORING_OP_ASYNC_CANCEL, "ASYNC_CANCEL"},
};

struct NeededFeature {
  unsigned flag;
  const char* name;
};

constexpr std::array kNeededFeatures = {
    NeededFeature{IORING_FEAT_NODROP, "NODROP"},
    NeededFeature{IORING_FEAT_SUBMIT_STABLE, "SUBMIT_STABLE"},
    NeededFeature{IORING_FEAT_FAST_POLL, "FAST_POLL"},
    NeededFeature{IORING_FEAT_EXT_ARG, "EXT_ARG"},
};

std::string kernel_release() {
  utsname name{};
  return ::uname(&name) == 0 ? name.release : "unknown";
}

// The sysctl of Linux 6.6 and newer; -1 when there is none.
int io_uring_disabled() {
  int value = -1;
  if (std::FILE* file = std::fopen("/proc/sys/kernel/io_uring_disabled", "re")) {
    if (std::fscanf(file, "%d", &value) != 1) value = -1;  // NOLINT(cert-err34-c)
    std::fclose(file);
  }
  return value;
}

Error explain_setup_failure(int error_number) {
  const std::string kernel = kernel_release();
  switch (error_number) {
    case ENOSYS:
      return Error::unimplemented(
          "io_uring is not there: Linux {} was built without it, or a seccomp profile hides it; "
          "Ashlar needs Linux 6.1 or newer with io_uring",
          kernel);
    case EPERM:
    case EACCES:
      if (const int disabled = io_uring_disabled(); disabled > 0) {
        return Error::permission_denied(
            "io_uring is switched off on this host: run `sysctl kernel.io_uring_disabled=0` (it is "
            "{})",
            disabled);
      }
      return Error::permission_denied(
          "io_uring is forbidden here, most likely by a container's seccomp profile: allow "
          "io_uring_setup, io_uring_enter and io_uring_register (Docker: --security-opt "
          "seccomp=FILE; "
          "Kubernetes: securityContext.seccompProfile of type Localhost)");
    case EINVAL:  // a set-up flag it does not know
      return Error::unimplemented(
          "io_uring of Linux {} is too old; Ashlar needs Linux 6.1 or newer", kernel);
    case ENOMEM:
      return Error::resource_exhausted(
          "io_uring could not get its memory: raise the limit of locked memory (ulimit -l, "
          "LimitMEMLOCK=) or free some");
    default:
      return Error::from_errno(error_number, "setting up io_uring on Linux " + kernel);
  }
}

Result<> check_features(io_uring& ring) {
  std::string missing;
  for (const NeededFeature& feature : kNeededFeatures) {
    if ((ring.features & feature.flag) == 0) missing.append(" ").append(feature.name);
  }
  io_uring_probe* probe = io_uring_get_probe_ring(&ring);
  if (probe == nullptr)
    return Error::unimplemented("io_uring cannot be probed on Linux {}", kernel_release());
  for (const NeededOpcode& needed : kNeededOpcodes) {
    if (io_uring_opcode_supported(probe, needed.opcode) == 0)
      missing.append(" ").append(needed.name);
  }
  io_uring_free_probe(probe);
  if (missing.empty()) return {};
  return Error::unimplemented("io_uring of Linux {} lacks:{}; Ashlar needs Linux 6.1 or newer",
                              kernel_release(), missing);
}

}  // namespace

void CompletionBackend::forget(Operation&) {
  // The kernel would go on writing into memory that is not ours any more.
  ASHLAR_UNREACHABLE("a coroutine died while the kernel worked on its I/O");
}

Result<Ring> Ring::create(unsigned entries) {
  ASHLAR_CHECK(entries >= kEntriesMin, "a ring of {} entries", entries);
  Ring ring;
  int status = 0;
  for (const SetupMode& mode : kSetupModes) {
    io_uring_params params{};
    // Completions in bursts of several times the submission queue must not overflow.
    params.flags = mode.flags | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
    params.cq_entries = entries * 4;
    status = io_uring_queue_init_params(entries, &ring.ring_, &params);
    if (status != -EINVAL) {
      ring.mode_ = mode.name;
      break;
    }
  }
  if (status < 0) return explain_setup_failure(-status);
  ring.open_ = true;
  ASHLAR_TRY(check_features(ring.ring_));
  // Saves a file lookup per enter; only an optimisation, so its failure is of no interest.
  (void)io_uring_register_ring_fd(&ring.ring_);
  return ring;
}

Ring::Ring(Ring&& other) noexcept
    : ring_(other.ring_),
      open_(std::exchange(other.open_, false)),
      mode_(other.mode_),
      completions_(other.completions_) {}

Ring::~Ring() {
  if (open_) io_uring_queue_exit(&ring_);
}

io_uring_sqe& Ring::next_entry() {
  reserve(1);
  io_uring_sqe* entry = io_uring_get_sqe(&ring_);
  ASHLAR_CHECK(entry != nullptr);
  return *entry;
}

void Ring::reserve(unsigned count) {
  while (io_uring_sq_space_left(&ring_) < count) {
    const int status = io_uring_submit(&ring_);
    // EBUSY: the completion queue is full; take what is there and try again.
    if (status == -EBUSY || status == -EAGAIN) {
      dispatch();
      continue;
    }
    ASHLAR_CHECK(status >= 0, "io_uring_submit: {}", Error::from_errno(-status, "submit"));
  }
}

void Ring::cancel(Operation& operation) {
  io_uring_sqe& entry = next_entry();
  io_uring_prep_cancel64(&entry, reinterpret_cast<std::uint64_t>(&operation), 0);
  entry.user_data = 0;
}

void Ring::submit_now() {
  // What the kernel does not take now goes with the next wait.
  const int status = io_uring_submit(&ring_);
  ASHLAR_CHECK(status >= 0 || status == -EINTR || status == -EBUSY || status == -EAGAIN, "{}",
               Error::from_errno(-status, "io_uring_enter"));
}

void Ring::submit_and_wait(MonoTime now, MonoTime deadline) {
  bypasses_ = 0;
  int status = 0;
  if (deadline == MonoTime::kNever) {
    status = io_uring_submit_and_wait(&ring_, 1);
  } else {
    const Duration left = deadline > now ? deadline - now : Duration::zero();
    __kernel_timespec timeout{.tv_sec = left.count() / 1'000'000'000,
                              .tv_nsec = left.count() % 1'000'000'000};
    io_uring_cqe* first = nullptr;
    status = io_uring_submit_and_wait_timeout(&ring_, &first, 1, &timeout, nullptr);
  }
  ASHLAR_CHECK(
      status >= 0 || status == -ETIME || status == -EINTR || status == -EBUSY || status == -EAGAIN,
      "{}", Error::from_errno(-status, "io_uring_enter"));
}

void Ring::submit_and_poll() {
  bypasses_ = 0;
  const int status = io_uring_submit_and_get_events(&ring_);
  ASHLAR_CHECK(status >= 0 || status == -EINTR || status == -EBUSY || status == -EAGAIN, "{}",
               Error::from_errno(-status, "io_uring_enter"));
}

void Ring::dispatch() {
  // Each entry leaves the queue before its backend hears of it: a backend that goes on submitting
  // may come here again (reserve), which must find only what was not handed out yet.
  io_uring_cqe* next = nullptr;
  while (io_uring_peek_batch_cqe(&ring_, &next, 1) != 0) {
    const io_uring_cqe entry = *next;
    io_uring_cqe_seen(&ring_, next);
    ++completions_;
    if (entry.user_data == 0) continue;  // the answer to a cancel request
    auto& operation = *reinterpret_cast<Operation*>(entry.user_data & ~kLinkedFirstTag);
    const auto part = (entry.user_data & kLinkedFirstTag) != 0
                          ? CompletionBackend::Part::kLinkedFirst
                          : CompletionBackend::Part::kWhole;
    static_cast<CompletionBackend*>(operation.backend())
        ->complete(operation, part, entry.res, entry.flags);
  }
}

}  // namespace ashlar::uring
