// ashlar: the command for people and scripts. docs/ashlar.md is its manual.
#include <cstdio>
#include <string>

#include <CLI/CLI.hpp>
#include <fmt/core.h>

#include "cli/arguments.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "common/base/quote.h"

namespace ashlar::cli {
namespace {

constexpr const char* kFooter =
    "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 something else has that name,\n"
    "5 the state forbids it (in use, for example), 6 the server cannot be reached or is not "
    "ready.\n"
    "Every command may be repeated: what is done already is done.";
constexpr const char* kSecretFooter =
    "A CHAP secret (12 to 255 bytes) is read from the file that is named (- is standard input), "
    "else\n"
    "from ASHLAR_CHAP_SECRET and ASHLAR_MUTUAL_CHAP_SECRET, and never from the command line.\n";

// One that is parsed by our own rules, whose error says what is allowed.
template <class T>
CLI::Option* add_parsed(CLI::App& app, const std::string& flag, T& value,
                        Result<typename std::remove_reference_t<T>> (*parse)(std::string_view),
                        const std::string& what) {
  return app
      .add_option_function<std::string>(
          flag, [&value, parse](const std::string& text) { value = parse(text).value(); }, what)
      ->check([parse](const std::string& text) {
        const auto parsed = parse(text);
        return parsed.ok() ? std::string() : parsed.error().message();
      });
}

class CommandLine {
 public:
  CommandLine() {
    app_.footer(kFooter);
    app_.require_subcommand(1);
    app_.set_version_flag("--version", ASHLAR_VERSION);
    app_.add_option("--server", arguments_.server, "The server to ask")
        ->envname("ASHLAR_SERVER")
        ->option_text("HOST:PORT [" + arguments_.server + "]")
        ->check([](const std::string& text) {
          const Result<> checked = check_server(text);
          return checked.ok() ? std::string() : checked.error().message();
        });
    app_.add_option("--output", arguments_.form, "Form of the answer")
        ->transform(CLI::CheckedTransformer(std::map<std::string, OutputForm>{
            {"table", OutputForm::kTable}, {"json", OutputForm::kJson}}))
        ->option_text("table|json [table]");
    add_parsed(app_, "--timeout", arguments_.timeout, &parse_duration, "How long one call may take")
        ->option_text("DURATION [1m]");
    app_.add_option("--request-id", arguments_.request_id,
                    "Stands in the server's log beside what is done")
        ->option_text("TEXT");
    // Options of the program may stand behind the command, too.
    app_.fallthrough();
    describe_volume();
    describe_snapshot();
    describe_server();
  }

  int run(int argc, char** argv) {
    try {
      app_.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
      return app_.exit(error) == 0 ? kDone : kUsage;
    }
    Result<> outcome = command_(arguments_);
    if (outcome.ok() && (std::fflush(stdout) != 0 || std::ferror(stdout) != 0)) {
      outcome = Error::internal("the answer could not be written");
    }
    if (outcome.ok()) return kDone;
    fmt::print(stderr, "ashlar: {}\n", outcome.error().message());
    return exit_code_of(outcome.error());
  }

 private:
  CLI::App& group(const std::string& name, const std::string& what) {
    CLI::App* added = app_.add_subcommand(name, what);
    added->require_subcommand(1);
    added->fallthrough();
    added->footer(kFooter);
    return *added;
  }

  CLI::App& command(CLI::App& parent, const std::string& name, const std::string& what,
                    Command run) {
    CLI::App* added = parent.add_subcommand(name, what);
    added->fallthrough();
    added->footer(kFooter);
    added->callback([this, run] { command_ = run; });
    return *added;
  }

  void add_volume(CLI::App& app, const char* position = "NAME") {
    app.add_option(position, arguments_.volume, "Name of the volume")->required();
  }
  void add_uuid(CLI::App& app, const char* what) {
    app.add_option("--uuid", arguments_.uuid, what)->option_text("UUID");
  }
  CLI::Option* add_size(CLI::App& app, const std::string& what) {
    return app
        .add_option_function<std::string>(
            "--size", [this](const std::string& text) { arguments_.size = *parse_size(text); },
            what)
        ->option_text("SIZE")
        ->check([](const std::string& text) {
          const Result<ByteCount> parsed = parse_size(text);
          return parsed.ok() ? std::string() : parsed.error().message();
        });
  }
  void add_kind(CLI::App& app, const std::string& unless_given) {
    app.add_option("--ack", arguments_.ack,
                   "When a write is acknowledged: on stable media, or in the log (a write cache)")
        ->check(CLI::IsMember({"durable", "buffered"}))
        ->option_text("durable|buffered [" + unless_given + "]");
    app.add_flag_function(
        "--read-only", [this](std::int64_t) { arguments_.read_only = true; },
        "Refuse all writes of initiators");
    app.add_flag("--removable", arguments_.removable, "A medium that can be locked and ejected");
  }
  void add_access(CLI::App& app) {
    AccessArguments& access = arguments_.access;
    app.add_option("--initiator", access.initiators,
                   "iSCSI name that may log in; may be repeated; anybody may if none is given")
        ->option_text("IQN");
    app.add_option("--chap", access.chap.name, "CHAP name that initiators must know the secret of")
        ->option_text("NAME");
    app.add_option("--chap-secret-file", access.chap.secret_file, "Where that secret is")
        ->option_text("FILE|-");
    app.add_option("--mutual-chap", access.mutual.name,
                   "CHAP name with which the target proves itself in turn")
        ->option_text("NAME");
    app.add_option("--mutual-chap-secret-file", access.mutual.secret_file, "Where that secret is")
        ->option_text("FILE|-");
    app.footer(std::string(kSecretFooter) + kFooter);
  }

  void describe_volume() {
    CLI::App& volume = group("volume", "Makes, shows, changes and removes volumes");

    CLI::App& create = command(volume, "create",
                               "Makes a volume, thin: space is taken when it is "
                               "written",
                               &create_volume);
    add_volume(create);
    add_size(create, "Of the volume: 10Gi, 512MiB, …; 1Mi to 1Pi, a multiple of 4Ki")->required();
    create.add_option("--block-size", arguments_.block_size, "Logical block size")
        ->check(CLI::IsMember({512, 4096}))
        ->option_text("512|4096 [512]");
    add_kind(create, "durable");
    create.add_option("--store", arguments_.store, "Directory or uuid of the store to make it in")
        ->option_text("STORE [the one with the most free space]");
    add_uuid(create, "Its uuid, instead of a new one");
    add_access(create);

    CLI::App& clone = command(volume, "clone",
                              "Makes a copy of a volume or of a snapshot, in no time: they share "
                              "what they have in common",
                              &clone_volume);
    add_volume(clone, "SOURCE");
    clone.add_option("NAME", arguments_.new_name, "Name of the copy")->required();
    clone.add_option("--snapshot", arguments_.snapshot, "Name or uuid of a snapshot of SOURCE")
        ->option_text("NAME [as it is now]");
    add_size(clone, "Of the copy, if it is to be larger");
    add_kind(clone, "as the source");
    add_uuid(clone, "Uuid of the copy, instead of a new one");
    add_access(clone);

    CLI::App& get = command(volume, "get", "Shows a volume and how to reach it", &get_volume);
    add_volume(get);
    add_uuid(get, "Fail if it has another uuid");

    CLI::App& list = command(volume, "list", "Lists volumes by name", &list_volumes);
    list.add_option("--prefix", arguments_.prefix, "Only names that begin so")->option_text("TEXT");

    CLI::App& resize =
        command(volume, "resize", "Grows a volume while it is in use", &resize_volume);
    add_volume(resize);
    add_size(resize, "The new size; volumes never shrink")->required();
    add_uuid(resize, "Fail if it has another uuid");

    CLI::App& set = command(volume, "set",
                            "Changes who may log in, and whether it may be written; what is not "
                            "mentioned stays. Sessions that are not allowed any more are ended.",
                            &set_volume);
    add_volume(set);
    set.add_option_function<bool>(
           "--read-only", [this](const bool& value) { arguments_.read_only = value; },
           "Refuse all writes of initiators, or not")
        ->option_text("true|false");
    add_access(set);
    CLI::Option* any = set.add_flag("--any-initiator", arguments_.access.any_initiator,
                                    "Whatever the initiator's name");
    any->excludes("--initiator");
    set.add_flag("--no-chap", arguments_.access.no_chap, "No authentication")
        ->excludes("--chap")
        ->excludes("--mutual-chap");
    set.add_flag("--no-mutual-chap", arguments_.access.no_mutual,
                 "The target need not prove itself")
        ->excludes("--mutual-chap");
    add_uuid(set, "Fail if it has another uuid");

    CLI::App& remove = command(volume, "delete", "Removes volumes and their data", &delete_volumes);
    remove.add_option("NAME", arguments_.names, "Names of the volumes")->required();
    remove.add_flag("--force", arguments_.force, "Also while initiators are logged in");
    remove.add_flag("--if-exists", arguments_.if_exists, "It is no error when there is none");
    add_uuid(remove, "Fail if it has another uuid");
  }

  void describe_snapshot() {
    CLI::App& snapshot = group("snapshot", "Makes, shows and removes snapshots");
    const auto add_snapshot = [this](CLI::App& app, const char* what) {
      add_volume(app, "VOLUME");
      app.add_option("NAME", arguments_.snapshot, what)->required();
    };
    CLI::App& create = command(snapshot, "create",
                               "Keeps a volume as it is at this moment, whatever is written later",
                               &create_snapshot);
    add_snapshot(create, "Name of the snapshot");
    add_uuid(create, "Its uuid, instead of a new one");

    CLI::App& list = command(snapshot, "list", "Lists snapshots, oldest first", &list_snapshots);
    list.add_option("VOLUME", arguments_.volume, "Only those of this volume");

    CLI::App& remove =
        command(snapshot, "delete", "Removes a snapshot; its volume is unharmed", &delete_snapshot);
    add_snapshot(remove, "Name or uuid of the snapshot");
    remove.add_flag("--if-exists", arguments_.if_exists, "It is no error when there is none");

    CLI::App& revert = command(snapshot, "revert",
                               "Makes a volume what it was at a snapshot: everything written since "
                               "is gone",
                               &revert_volume);
    add_snapshot(revert, "Name or uuid of the snapshot");
    revert.add_flag("--force", arguments_.force, "Also while initiators are logged in");
  }

  void describe_server() {
    CLI::App& server = group("server", "Shows the server");
    command(server, "status", "Shows what the server is, its stores and their space", &show_status);
    CLI::App& session = group("session", "Shows who is logged in");
    CLI::App& list = command(session, "list", "Lists iSCSI sessions", &list_sessions);
    list.add_option("VOLUME", arguments_.volume, "Only those of this volume");
  }

  Arguments arguments_;
  CLI::App app_{"Administers volumes of Ashlar.", "ashlar"};
  Command command_ = nullptr;
};

}  // namespace
}  // namespace ashlar::cli

int main(int argc, char** argv) {
  return ashlar::cli::CommandLine().run(argc, argv);
}
