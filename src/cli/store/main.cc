// ashlar-store: looks into a store's directory without changing it. docs/ashlar-store.md is its
// manual.
//
// Exit codes: 0 fine, 1 damage was found, 2 wrong usage, 3 the store could not be opened or read.
#include <cstdio>
#include <map>
#include <string>

#include <CLI/CLI.hpp>
#include <fmt/core.h>

#include "cli/store/commands.h"
#include "cli/store/in_use.h"
#include "common/runtime/uring/reactor.h"

namespace ashlar::store_tool {
namespace {

constexpr int kFine = 0;
constexpr int kDamaged = 1;
constexpr int kUsage = 2;
constexpr int kCannotOpen = 3;

constexpr const char* kFooter =
    "Exit codes: 0 fine, 1 damage was found, 2 wrong usage, 3 the store could not be opened or "
    "read.\nNothing in DIR is ever written. While a server has the store open the answer is a "
    "snapshot\nof something that moves: damage that is reported then may be a change under way; "
    "ask again.";

using Command = Task<Result<Finding>> (*)(Runtime, CommandOptions);

int fail(const Error& error) {
  fmt::print(stderr, "ashlar-store: {}\n", error.message());
  return kCannotOpen;
}

int run_command(Command command, CommandOptions options) {
  const Result<bool> in_use = is_in_use(options.directory);
  if (!in_use.ok()) return fail(in_use.error());
  options.is_in_use = *in_use;
  if (*in_use) {
    fmt::print(stderr,
               "ashlar-store: warning: {} is open in another process: what follows may be moving\n",
               options.directory);
  }
  auto reactor = uring::Reactor::create({});
  if (!reactor.ok()) return fail(reactor.error());
  const Result<Finding> finding =
      (*reactor)->run(command((*reactor)->runtime(), std::move(options)));
  if (!finding.ok()) return fail(finding.error());
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
    fmt::print(stderr, "ashlar-store: the answer could not be written\n");
    return kCannotOpen;
  }
  return *finding == Finding::kFine ? kFine : kDamaged;
}

// The command line while it is being read.
struct Arguments {
  CommandOptions options;
  std::string replica;
  std::uint64_t layer = 0;
  Command command = nullptr;
};

CLI::App* add_command(CLI::App& parent, Arguments& arguments, std::string name, std::string what,
                      Command command) {
  CLI::App* app = parent.add_subcommand(std::move(name), std::move(what));
  app->footer(kFooter);
  app->add_option("DIR", arguments.options.directory, "Directory of the store")->required();
  app->add_option("--output", arguments.options.form, "Form of the answer")
      ->transform(CLI::CheckedTransformer(std::map<std::string, OutputForm>{
          {"table", OutputForm::kTable}, {"json", OutputForm::kJson}}))
      ->option_text("table|json [table]");
  app->callback([&arguments, command] { arguments.command = command; });
  return app;
}

CLI::Option* add_replica(CLI::App& app, Arguments& arguments, std::string what) {
  return app.add_option("--replica", arguments.replica, std::move(what))
      ->option_text("UUID")
      ->check([](const std::string& text) -> std::string {
        const Result<ReplicaUuid> parsed = ReplicaUuid::parse(text);
        return parsed.ok() ? "" : parsed.error().message();
      });
}

void describe(CLI::App& app, Arguments& arguments) {
  app.footer(kFooter);
  app.require_subcommand(1);
  add_command(
      app, arguments, "info",
      "Shows what the store is and holds: owner, log, replicas, snapshots, layers, and what "
      "nobody names",
      &show_info);
  CLI::App* log = app.add_subcommand("log", "Looks into the log");
  log->require_subcommand(1);
  CLI::App* dump = add_command(
      *log, arguments, "dump",
      "Shows each batch and record from the checkpoint on, and where and why the chain ends",
      &dump_log);
  add_replica(*dump, arguments, "Only records of this replica");
  dump->add_option("--limit", arguments.options.limit, "Show at most so many records")
      ->option_text("N")
      ->check(CLI::NonNegativeNumber);
  add_command(app, arguments, "verify",
              "Reads everything and compares it with its checksums: both slots of each small file, "
              "the log, the maps and the blocks of every layer. Progress goes to stderr.",
              &verify_store);
  CLI::App* chunks = add_command(app, arguments, "chunks",
                                 "Shows the entries of the chunk map of a layer", &show_chunks);
  add_replica(*chunks, arguments, "The replica")->required();
  chunks->add_option("--layer", arguments.layer, "Which of its layers, as info counts them")
      ->option_text("N [the head]")
      ->check(CLI::NonNegativeNumber);
  chunks->add_option("--from", arguments.options.from, "First block of the range")
      ->option_text("BLOCK [0]")
      ->check(CLI::NonNegativeNumber);
  chunks->add_option("--count", arguments.options.count, "Length of the range")
      ->option_text("N [to the end]")
      ->check(CLI::NonNegativeNumber);
}

int run(int argc, char** argv) {
  Arguments arguments;
  CLI::App app("Looks into the directory of a store, offline and without changing anything.",
               "ashlar-store");
  describe(app, arguments);
  try {
    app.parse(argc, argv);
    const CLI::App* chunks = app.get_subcommand("chunks");
    if (chunks->count("--layer") > 0) arguments.options.layer = arguments.layer;
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kFine : kUsage;
  }
  if (!arguments.replica.empty()) {
    arguments.options.replica = ReplicaUuid::parse(arguments.replica).value();
  }
  return run_command(arguments.command, std::move(arguments.options));
}

}  // namespace
}  // namespace ashlar::store_tool

int main(int argc, char** argv) {
  return ashlar::store_tool::run(argc, argv);
}
