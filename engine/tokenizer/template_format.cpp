#include <locale.h>

#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <ctime>

#include "tokenizer/template_machine.h"
#include "tokenizer/unicode.h"

namespace lrc::jinja {

namespace {

struct Field {
  bool left = false, zero = false, plus = false, blank = false;
  int width = 0, precision = -1;
  char kind = 's';
};

int number_at(const std::string& format, std::size_t& at) {
  int number = 0;
  while (at < format.size() && format[at] >= '0' && format[at] <= '9' && number < 1000) number = number * 10 + (format[at++] - '0');
  return number;
}

Field read_field(const std::string& format, std::size_t& at) {
  Field field;
  for (; at < format.size(); ++at) {
    if (format[at] == '-')
      field.left = true;
    else if (format[at] == '0')
      field.zero = true;
    else if (format[at] == '+')
      field.plus = true;
    else if (format[at] == ' ')
      field.blank = true;
    else
      break;
  }
  field.width = number_at(format, at);
  if (at < format.size() && format[at] == '.') field.precision = number_at(format, ++at);
  field.kind = at < format.size() ? format[at] : '\0';
  return field;
}

std::string whole_text(std::int64_t value, char kind) {
  std::array<char, 32> buffer{};
  const auto magnitude = static_cast<unsigned long long>(value < 0 ? -(value + 1) : value) + (value < 0 ? 1 : 0);
  std::snprintf(buffer.data(), buffer.size(), kind == 'x' ? "%llx" : kind == 'X' ? "%llX" : kind == 'o' ? "%llo" : "%llu", magnitude);
  return buffer.data();
}

std::string real_text(double value, const Field& field) {
  // Not printf: its decimal point follows the user's language.
  std::array<char, 1500> buffer{};
  const auto style = field.kind == 'e'   ? std::chars_format::scientific
                     : field.kind == 'g' ? std::chars_format::general
                                         : std::chars_format::fixed;
  const int precision = field.precision < 0 ? 6 : field.precision;
  const auto [end, error] = std::to_chars(buffer.data(), buffer.data() + buffer.size(), std::abs(value), style, precision);
  return std::string(buffer.data(), error == std::errc() ? end : buffer.data());
}

std::string field_text(Machine& machine, const Field& field, const Value& value) {
  std::string sign, body;
  bool numeric = true;
  switch (field.kind) {
    case 'd':
    case 'i':
    case 'u':
    case 'x':
    case 'X':
    case 'o': {
      if (!value.number() || !(std::abs(value.real()) < 9.2e18))
        machine.fail(std::string(value.kind_name()) + " cannot be formatted as a number");
      const std::int64_t whole = value.whole() ? value.integer() : static_cast<std::int64_t>(value.real());
      sign = whole < 0 ? "-" : field.plus ? "+" : field.blank ? " " : "";
      body = whole_text(whole, field.kind);
      break;
    }
    case 'e':
    case 'f':
    case 'F':
    case 'g':
      if (!value.number()) machine.fail(std::string(value.kind_name()) + " cannot be formatted as a number");
      sign = std::signbit(value.real()) ? "-" : field.plus ? "+" : field.blank ? " " : "";
      body = real_text(value.real(), field);
      break;
    case 's':
    case 'r':
      numeric = false;
      body = machine.string_of(value);
      if (field.precision >= 0)
        body = unicode::from_code_points(unicode::to_code_points(body).substr(0, static_cast<std::size_t>(field.precision)));
      break;
    default:
      machine.fail("a format has a field that is not supported");
  }
  const std::size_t length = sign.size() + unicode::to_code_points(body).size();
  const std::size_t padding = field.width > static_cast<int>(length) ? static_cast<std::size_t>(field.width) - length : 0;
  if (field.left) return sign + body + std::string(padding, ' ');
  if (field.zero && numeric) return sign + std::string(padding, '0') + body;
  return std::string(padding, ' ') + sign + body;
}

}  // namespace

std::string format_percent(Machine& machine, const std::string& format, const std::vector<Value>& values) {
  std::string out;
  std::size_t used = 0;
  for (std::size_t at = 0; at < format.size(); ++at) {
    if (format[at] != '%') {
      out += format[at];
      continue;
    }
    const Field field = read_field(format, ++at);
    if (field.kind == '%') {
      out += '%';
      continue;
    }
    if (used >= values.size()) machine.fail("a format has more fields than values");
    out += field_text(machine, field, values[used++]);
    machine.check_output(out.size());
    machine.step();
  }
  if (used < values.size()) machine.fail("a format has fewer fields than values");
  return out;
}

std::string format_time(Machine& machine, const std::string& format) {
  std::tm parts{};
  if (const auto now = machine.now()) {
    const auto time = static_cast<std::time_t>(*now);
    gmtime_r(&time, &parts);
  } else {
    const std::time_t time = std::time(nullptr);
    localtime_r(&time, &parts);
  }
  // English names whatever the user's language: models were trained on those.
  static const locale_t plain = newlocale(LC_ALL_MASK, "C", locale_t{});
  std::string out;
  for (std::size_t at = 0; at < format.size(); ++at) {
    if (format[at] != '%' || at + 1 >= format.size()) {
      out += format[at];
      continue;
    }
    std::string field = "%";
    if (format[at + 1] == '-' && at + 2 < format.size()) field += format[++at];
    field += format[++at];
    if (std::string_view("aAbBdHIjmMpSUwWxXyYZzcDeFGgThnrRtuV%").find(field.back()) == std::string_view::npos)
      machine.fail("\"" + unicode::replace_invalid(field) + "\" in a time format is not supported");
    std::array<char, 128> buffer{};
    const std::size_t length = strftime_l(buffer.data(), buffer.size(), field.c_str(), &parts, plain);
    out.append(buffer.data(), length);
    machine.check_output(out.size());
  }
  return out;
}

}  // namespace lrc::jinja
