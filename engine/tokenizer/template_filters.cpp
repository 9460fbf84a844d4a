// Filters of single values; those of sequences are in template_sequence_filters.cpp.
#include <cctype>
#include <charconv>
#include <cmath>

#include "tokenizer/template_machine.h"
#include "tokenizer/template_text.h"
#include "tokenizer/unicode.h"

namespace lrc::jinja {

namespace {

constexpr std::int64_t widest = 1000;  // of indentation and the like

template <std::string (*change)(const std::string&)>
Value changed(Machine& machine, const Value& self, const Bound&) {
  return machine.text(change(machine.string_of(self)));
}

Value trim(Machine& machine, const Value& self, const Bound& arguments) {
  return machine.text(stripped(machine.string_of(self), text_argument(machine, arguments, 0, ""), true, true));
}

Value replace(Machine& machine, const Value& self, const Bound& arguments) {
  if (!arguments.given(1)) machine.fail("\"replace\" needs what to replace and what by");
  const std::string text = machine.string_of(self), old = machine.string_of(*arguments[0]), with = machine.string_of(*arguments[1]);
  constexpr std::size_t most = std::size_t{64} << 20;
  std::string result = replaced(text, old, with, integer_argument(machine, arguments, 2, -1), most);
  machine.check_output(result.size());
  return machine.text(std::move(result));
}

Value escape(Machine& machine, const Value& self, const Bound&) {
  std::string out;
  for (char c : machine.string_of(self)) {
    if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (c == '"')
      out += "&#34;";
    else if (c == '\'')
      out += "&#39;";
    else
      out += c;
  }
  return machine.text(std::move(out));
}

std::string indentation(Machine& machine, const Value* width) {
  if (!width || width->is<None>()) return "    ";
  if (width->text()) return *width->text();
  if (!width->whole() || width->integer() > widest) machine.fail("an indentation has to be a number up to 1000 or a text");
  return std::string(static_cast<std::size_t>(std::max<std::int64_t>(width->integer(), 0)), ' ');
}

Value indent(Machine& machine, const Value& self, const Bound& arguments) {
  const std::string space = indentation(machine, arguments[0]);
  const std::string text = machine.string_of(self);
  std::string out = arguments.flag(1) ? space : "";
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    if (at > 0 && (end > at || arguments.flag(2))) out += space;
    out.append(text, at, end - at);
    if (end < text.size()) out += '\n';
    machine.check_output(out.size());
    at = end + 1;
  }
  return machine.text(std::move(out));
}

std::optional<double> read_real(const std::string& text) {
  const std::string clean = stripped(text, "", true, true);
  const char* begin = clean.data() + (clean.starts_with('+') ? 1 : 0);
  double value = 0;
  const auto [end, error] = std::from_chars(begin, clean.data() + clean.size(), value);
  if (clean.empty() || error != std::errc() || end != clean.data() + clean.size()) return std::nullopt;
  return value;
}

Value to_integer(Machine& machine, const Value& self, const Bound& arguments) {
  const Value otherwise = arguments.given(0) ? *arguments[0] : Value(std::int64_t{0});
  const auto from_real = [&](double value) {
    if (!(std::abs(value) < 9.2e18)) return otherwise;
    return Value(static_cast<std::int64_t>(value));
  };
  if (self.whole()) return Value(self.integer());
  if (self.is<double>()) return from_real(self.as<double>());
  if (!self.text()) return otherwise;
  std::string clean = stripped(*self.text(), "", true, true);
  const std::int64_t base = integer_argument(machine, arguments, 1, 10);
  if (base < 2 || base > 36) machine.fail("the base of a number has to be from 2 to 36");
  const bool plus = clean.starts_with('+');
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(clean.data() + (plus ? 1 : 0), clean.data() + clean.size(), value, static_cast<int>(base));
  if (!clean.empty() && error == std::errc() && end == clean.data() + clean.size()) return Value(value);
  const auto real = read_real(clean);
  return real ? from_real(*real) : otherwise;
}

Value to_real(Machine&, const Value& self, const Bound& arguments) {
  if (self.number()) return Value(self.real());
  if (self.text())
    if (const auto real = read_real(*self.text())) return Value(*real);
  return arguments.given(0) ? *arguments[0] : Value(0.0);
}

Value absolute(Machine& machine, const Value& self, const Bound&) {
  if (!self.number()) machine.fail(std::string(self.kind_name()) + " has no absolute value");
  if (self.is<double>()) return Value(std::abs(self.as<double>()));
  return self.integer() < 0 ? binary_operation(machine, "-", Value(std::int64_t{0}), self) : Value(self.integer());
}

Value rounded(Machine& machine, const Value& self, const Bound& arguments) {
  if (!self.number()) machine.fail(std::string(self.kind_name()) + " cannot be rounded");
  const std::int64_t digits = integer_argument(machine, arguments, 0, 0);
  if (digits < -300 || digits > 300) machine.fail("a number cannot be rounded to so many digits");
  const std::string method = text_argument(machine, arguments, 1, "common");
  const double scale = std::pow(10.0, static_cast<double>(digits)), scaled = self.real() * scale;
  if (method == "ceil") return Value(std::ceil(scaled) / scale);
  if (method == "floor") return Value(std::floor(scaled) / scale);
  if (method != "common") machine.fail("a number is rounded \"common\", \"ceil\" or \"floor\"");
  return Value(std::nearbyint(scaled) / scale);
}

Value fallback(Machine&, const Value& self, const Bound& arguments) {
  const bool missing = self.is<Undefined>() || (arguments.flag(1) && !self.truth());
  if (!missing) return self;
  return arguments.given(0) ? *arguments[0] : Value(std::make_shared<const std::string>());
}

Value to_json(Machine& machine, const Value& self, const Bound& arguments) {
  JsonStyle style;
  style.ascii = arguments.flag(0);
  if (arguments.given(1) && !arguments[1]->is<None>()) {
    style.indent = indentation(machine, arguments[1]);
    style.item_separator = ",";
  }
  if (arguments.given(2) && !arguments[2]->is<None>()) {
    const ListData* separators = arguments[2]->list();
    if (!separators || separators->items.size() != 2 || !separators->items[0].text() || !separators->items[1].text())
      machine.fail("the separators of JSON are a pair of texts");
    style.item_separator = *separators->items[0].text();
    style.key_separator = *separators->items[1].text();
  }
  style.sort_keys = arguments.flag(3);
  return machine.text(machine.json_text(self, style));
}

Value truncate(Machine& machine, const Value& self, const Bound& arguments) {
  const std::u32string codes = unicode::to_code_points(machine.string_of(self));
  const std::int64_t length = integer_argument(machine, arguments, 0, 255), leeway = integer_argument(machine, arguments, 3, 5);
  const std::u32string end = unicode::to_code_points(text_argument(machine, arguments, 2, "..."));
  if (length < static_cast<std::int64_t>(end.size()) || leeway < 0) machine.fail("\"truncate\" is asked for too short a text");
  if (static_cast<std::int64_t>(codes.size()) - leeway <= length) return machine.text(unicode::from_code_points(codes));
  std::u32string kept = codes.substr(0, static_cast<std::size_t>(length) - end.size());
  if (!arguments.flag(1)) {
    const std::size_t blank = kept.rfind(U' ');
    if (blank != std::u32string::npos) kept.resize(blank);
  }
  return machine.text(unicode::from_code_points(kept + end));
}

Value word_count(Machine& machine, const Value& self, const Bound&) {
  std::int64_t count = 0;
  bool inside = false;
  for (char32_t code : unicode::to_code_points(machine.string_of(self))) {
    const bool word = unicode::category(code) == unicode::letter || unicode::category(code) == unicode::number || code == U'_';
    count += word && !inside;
    inside = word;
  }
  return Value(count);
}

Value center(Machine& machine, const Value& self, const Bound& arguments) {
  const std::int64_t width = integer_argument(machine, arguments, 0, 80);
  if (width > widest) machine.fail("a text cannot be centred in more than 1000 characters");
  const std::string text = machine.string_of(self);
  const std::int64_t free = std::max<std::int64_t>(0, width - static_cast<std::int64_t>(machine.length_of(machine.text(text))));
  const std::int64_t left = free / 2 + (free & width & 1);
  return machine.text(std::string(static_cast<std::size_t>(left), ' ') + text + std::string(static_cast<std::size_t>(free - left), ' '));
}

const Operation filters[] = {
    {"abs", "", absolute},
    {"capitalize", "", changed<capitalize>},
    {"center", "width", center},
    {"default", "default_value,boolean", fallback},
    {"d", "default_value,boolean", fallback},
    {"escape", "", escape},
    {"e", "", escape},
    {"float", "default", to_real},
    {"format", "*",
     [](Machine& machine, const Value& self, const Bound& arguments) {
       return machine.text(format_percent(machine, machine.string_of(self), arguments.all->positional));
     }},
    {"indent", "width,first,blank", indent},
    {"int", "default,base", to_integer},
    {"lower", "", changed<lower>},
    {"replace", "old,new,count", replace},
    {"round", "precision,method", rounded},
    {"safe", "", [](Machine&, const Value& self, const Bound&) { return self; }},
    {"string", "", [](Machine& machine, const Value& self, const Bound&) { return machine.text(machine.string_of(self)); }},
    {"title", "", changed<title>},
    {"tojson", "ensure_ascii,indent,separators,sort_keys", to_json},
    {"trim", "chars", trim},
    {"truncate", "length,killwords,end,leeway", truncate},
    {"upper", "", changed<upper>},
    {"wordcount", "", word_count},
};

}  // namespace

const Operation* find_text_filter(std::string_view name) {
  for (const Operation& operation : filters)
    if (operation.name == name) return &operation;
  return nullptr;
}

Value apply_filter(Machine& machine, const std::string& name, const Value& target, const Arguments& arguments) {
  const Operation* operation = find_text_filter(name);
  if (!operation) operation = find_sequence_filter(name);
  if (!operation) machine.fail("the filter \"" + name.substr(0, 80) + "\" is not supported");
  return run_operation(machine, *operation, target, arguments);
}

}  // namespace lrc::jinja
