#include "common/log/log_record.h"

#include <cmath>
#include <ctime>
#include <type_traits>

#include <fmt/format.h>

namespace ashlar {
namespace {

constexpr std::string_view kEllipsis = "…";
constexpr std::string_view kReplacement = "\uFFFD";

// The length of the UTF-8 sequence at the start of `text` if it is well-formed (no overlong form,
// no surrogate, nothing above U+10FFFF), else 0.
std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  const unsigned char second = byte(1);
  if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) ||
      (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f)) {
    return 0;
  }
  return length;
}

// C0 controls, DEL, the C1 controls U+0080..U+009F, and the line ends U+2028 and U+2029.
bool is_control(std::string_view character) {
  if (character.size() == 1) return character[0] < 0x20 || character[0] == 0x7f;
  if (character.size() == 2) return character[0] == '\xc2' && character[1] < '\xa0';
  return character == "\u2028" || character == "\u2029";
}

std::uint32_t code_point(std::string_view character) {
  std::uint32_t code = static_cast<unsigned char>(character[0]);
  if (character.size() > 1) code &= 0xffU >> (character.size() + 1);
  for (const char c : character.substr(1))
    code = code << 6 | (static_cast<unsigned char>(c) & 0x3f);
  return code;
}

// Longest prefix of at most `max` bytes that does not cut a character.
std::string_view cut(std::string_view text, std::size_t max) {
  if (text.size() <= max) return text;
  std::size_t end = max;
  while (end > 0 && max - end < 4 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return text.substr(0, end);
}

// Hands `text` on character by character: whole well-formed ones, or single bad bytes.
template <class Good, class Bad>
void each_character(std::string_view text, Good good, Bad bad) {
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    if (length == 0) {
      bad(static_cast<unsigned char>(text[0]));
      text.remove_prefix(1);
    } else {
      good(text.substr(0, length));
      text.remove_prefix(length);
    }
  }
}

enum class Quoting : std::uint8_t { kBare, kQuoted };

void append_text(std::string& out, std::string_view text, Quoting quoting) {
  const auto good = [&](std::string_view character) {
    if (character == "\n") {
      out += "\\n";
    } else if (character == "\r") {
      out += "\\r";
    } else if (character == "\t") {
      out += "\\t";
    } else if (quoting == Quoting::kQuoted && (character == "\"" || character == "\\")) {
      out += '\\';
      out += character;
    } else if (is_control(character)) {
      out += character.size() == 1 ? fmt::format("\\x{:02x}", code_point(character))
                                   : fmt::format("\\u{:04x}", code_point(character));
    } else {
      out += character;
    }
  };
  each_character(text, good, [&](unsigned char byte) { out += fmt::format("\\x{:02x}", byte); });
}

void append_json_string(std::string& out, std::string_view text) {
  const auto good = [&](std::string_view character) {
    if (character == "\"" || character == "\\") {
      out += '\\';
      out += character;
    } else if (character == "\n") {
      out += "\\n";
    } else if (is_control(character)) {
      out += fmt::format("\\u{:04x}", code_point(character));
    } else {
      out += character;
    }
  };
  each_character(text, good, [&](unsigned char) { out += kReplacement; });
}

bool needs_quotes(std::string_view text) {
  return text.empty() || text.find_first_of(" \t\n\r\"'=\\") != std::string_view::npos;
}

template <class Append>
void append_cut(std::string& out, std::string_view text, std::size_t max, Append append) {
  const std::string_view kept = cut(text, max);
  append(out, kept);
  if (kept.size() < text.size()) out += kEllipsis;
}

void append_text_value(std::string& out, const LogField::Value& value) {
  const auto visit = [&]<class T>(const T& v) {
    if constexpr (std::is_same_v<T, std::string>) {
      const Quoting quoting = needs_quotes(v) ? Quoting::kQuoted : Quoting::kBare;
      const std::string_view quote = quoting == Quoting::kQuoted ? "\"" : "";
      out += quote;
      append_cut(out, v, LogRecord::kValueMax,
                 [&](std::string& to, std::string_view text) { append_text(to, text, quoting); });
      out += quote;
    } else {
      out += fmt::format("{}", v);
    }
  };
  std::visit(visit, value);
}

void append_json_value(std::string& out, const LogField::Value& value) {
  const auto visit = [&]<class T>(const T& v) {
    if constexpr (std::is_same_v<T, std::string>) {
      out += '"';
      append_cut(out, v, LogRecord::kValueMax, append_json_string);
      out += '"';
    } else if constexpr (std::is_same_v<T, double>) {
      // JSON has no number for these.
      out += std::isfinite(v) ? fmt::format("{}", v) : fmt::format("\"{}\"", v);
    } else {
      out += fmt::format("{}", v);
    }
  };
  std::visit(visit, value);
}

std::string format_text(const LogRecord& record) {
  static constexpr std::string_view kNames[] = {"ERROR", "WARN ", "INFO ", "DEBUG"};
  std::string out = format_log_time(record.time);
  out += ' ';
  out += kNames[static_cast<std::size_t>(record.level)];
  out += ' ';
  append_cut(out, record.message, LogRecord::kMessageMax,
             [](std::string& to, std::string_view t) { append_text(to, t, Quoting::kBare); });
  for (const LogField& field : record.fields.list()) {
    out += ' ';
    out += field.key;
    out += '=';
    append_text_value(out, field.value);
  }
  return out;
}

std::string format_json(const LogRecord& record) {
  std::string out = fmt::format(R"({{"time":"{}","level":"{}","message":")",
                                format_log_time(record.time), to_string(record.level));
  append_cut(out, record.message, LogRecord::kMessageMax, append_json_string);
  out += '"';
  for (const LogField& field : record.fields.list()) {
    out += fmt::format(R"(,"{}":)", field.key);
    append_json_value(out, field.value);
  }
  out += '}';
  return out;
}

}  // namespace

std::string_view to_string(LogLevel level) {
  return kLogLevelNames[static_cast<std::size_t>(level)].first;
}

// Not WallTime::to_string(): records line up because they always have six decimals.
std::string format_log_time(WallTime time) {
  const auto us = std::chrono::floor<std::chrono::microseconds>(time.since_epoch()).count();
  const std::time_t seconds = std::chrono::floor<std::chrono::seconds>(time.since_epoch()).count();
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z", utc.tm_year + 1900,
                     utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec,
                     us - seconds * 1'000'000);
}

std::string format_record(const LogRecord& record, LogFormat format) {
  return format == LogFormat::kJson ? format_json(record) : format_text(record);
}

}  // namespace ashlar
