// Methods of texts, lists and dictionaries: those of Python that change nothing.
#include <algorithm>

#include "tokenizer/template_machine.h"
#include "tokenizer/template_text.h"
#include "tokenizer/unicode.h"

namespace lrc::jinja {

namespace {

const std::string& own(const Value& self) { return *self.text(); }

std::string needed_text(Machine& machine, const Bound& arguments, std::size_t i) {
  if (!arguments.given(i)) machine.fail("an argument is missing");
  return text_argument(machine, arguments, i, "");
}

/// Cuts at blanks, as split() without a separator does.
std::vector<Value> split_blanks(Machine& machine, const std::string& text, std::int64_t most) {
  const std::u32string codes = unicode::to_code_points(text);
  std::vector<Value> parts;
  for (std::size_t at = 0; at < codes.size();) {
    while (at < codes.size() && is_blank(codes[at])) ++at;
    if (at == codes.size()) break;
    std::size_t end = at;
    if (most >= 0 && static_cast<std::int64_t>(parts.size()) >= most)
      end = codes.size();
    else
      while (end < codes.size() && !is_blank(codes[end])) ++end;
    parts.push_back(machine.text(unicode::from_code_points(std::u32string_view(codes).substr(at, end - at))));
    at = end;
  }
  return parts;
}

Value split(Machine& machine, const Value& self, const Bound& arguments) {
  const std::int64_t most = integer_argument(machine, arguments, 1, -1);
  if (!arguments.given(0) || arguments[0]->is<None>()) return machine.list(split_blanks(machine, own(self), most));
  const std::string separator = needed_text(machine, arguments, 0);
  if (separator.empty()) machine.fail("a text cannot be split at an empty text");
  std::vector<Value> parts;
  std::size_t at = 0;
  while (most < 0 || static_cast<std::int64_t>(parts.size()) < most) {
    const std::size_t found = own(self).find(separator, at);
    if (found == std::string::npos) break;
    parts.push_back(machine.text(own(self).substr(at, found - at)));
    at = found + separator.size();
  }
  parts.push_back(machine.text(own(self).substr(at)));
  return machine.list(std::move(parts));
}

Value rsplit(Machine& machine, const Value& self, const Bound& arguments) {
  const std::int64_t most = integer_argument(machine, arguments, 1, -1);
  if (most < 0) return split(machine, self, arguments);
  const std::string separator = text_argument(machine, arguments, 0, "");
  if (separator.empty()) machine.fail("rsplit needs a text to split at");
  std::vector<Value> parts;
  std::size_t end = own(self).size();
  while (static_cast<std::int64_t>(parts.size()) < most && end >= separator.size()) {
    const std::size_t found = own(self).rfind(separator, end - separator.size());
    if (found == std::string::npos) break;
    parts.push_back(machine.text(own(self).substr(found + separator.size(), end - found - separator.size())));
    end = found;
  }
  parts.push_back(machine.text(own(self).substr(0, end)));
  std::ranges::reverse(parts);
  return machine.list(std::move(parts));
}

Value splitlines(Machine& machine, const Value& self, const Bound& arguments) {
  std::vector<Value> lines;
  const std::string& text = own(self);
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find_first_of("\r\n", at), text.size());
    std::size_t after = std::min(end + 1, text.size());
    if (end + 1 < text.size() && text[end] == '\r' && text[end + 1] == '\n') ++after;
    lines.push_back(machine.text(text.substr(at, (arguments.flag(0) ? after : end) - at)));
    at = after;
  }
  return machine.list(std::move(lines));
}

template <bool left, bool right>
Value strip(Machine& machine, const Value& self, const Bound& arguments) {
  const std::string set = text_argument(machine, arguments, 0, "");
  if (set.empty() && arguments.given(0) && !arguments[0]->is<None>()) return self;
  return machine.text(stripped(own(self), set, left, right));
}

template <bool end>
Value has_affix(Machine& machine, const Value& self, const Bound& arguments) {
  const auto matches = [&](const Value& value) {
    if (!value.text()) machine.fail(std::string(value.kind_name()) + " stands where a text is needed");
    return end ? own(self).ends_with(*value.text()) : own(self).starts_with(*value.text());
  };
  if (!arguments.given(0)) machine.fail("an argument is missing");
  if (!arguments[0]->list()) return Value(matches(*arguments[0]));
  return Value(std::ranges::any_of(arguments[0]->list()->items, matches));
}

template <bool end>
Value remove_affix(Machine& machine, const Value& self, const Bound& arguments) {
  const std::string affix = needed_text(machine, arguments, 0);
  if (end ? !own(self).ends_with(affix) : !own(self).starts_with(affix)) return self;
  return machine.text(own(self).substr(end ? 0 : affix.size(), own(self).size() - affix.size()));
}

template <bool last>
Value find(Machine& machine, const Value& self, const Bound& arguments) {
  const std::string wanted = needed_text(machine, arguments, 0);
  const std::size_t found = last ? own(self).rfind(wanted) : own(self).find(wanted);
  if (found == std::string::npos) return Value(std::int64_t{-1});
  return Value(static_cast<std::int64_t>(unicode::to_code_points(std::string_view(own(self)).substr(0, found)).size()));
}

Value count_text(Machine& machine, const Value& self, const Bound& arguments) {
  const std::string wanted = needed_text(machine, arguments, 0);
  if (wanted.empty()) return Value(static_cast<std::int64_t>(machine.length_of(self)) + 1);
  std::int64_t count = 0;
  for (std::size_t at = own(self).find(wanted); at != std::string::npos; at = own(self).find(wanted, at + wanted.size())) ++count;
  return Value(count);
}

Value partition(Machine& machine, const Value& self, const Bound& arguments) {
  const std::string separator = needed_text(machine, arguments, 0);
  const std::size_t found = separator.empty() ? std::string::npos : own(self).find(separator);
  std::vector<Value> parts;
  const bool has = found != std::string::npos;
  parts.push_back(machine.text(own(self).substr(0, found)));
  parts.push_back(machine.text(has ? separator : ""));
  parts.push_back(machine.text(has ? own(self).substr(found + separator.size()) : ""));
  return machine.list(std::move(parts));
}

/// Whether there is a character and each is of the kind.
template <bool (*kind)(char32_t)>
Value all_are(Machine&, const Value& self, const Bound&) {
  const std::u32string codes = unicode::to_code_points(own(self));
  return Value(!codes.empty() && std::ranges::all_of(codes, kind));
}
bool alphabetic(char32_t code) { return unicode::category(code) == unicode::letter; }
bool decimal(char32_t code) { return code >= U'0' && code <= U'9'; }
bool alphanumeric(char32_t code) { return alphabetic(code) || unicode::category(code) == unicode::number; }

template <bool up>
Value has_case(Machine&, const Value& self, const Bound&) {
  const std::string written = up ? upper(own(self)) : lower(own(self));
  return Value(written == own(self) && (up ? lower(own(self)) : upper(own(self))) != own(self));
}

/// "{} {0} {name}".format(…), without format specifications.
Value format_braces(Machine& machine, const Value& self, const Bound& arguments) {
  const std::string& text = own(self);
  std::string out;
  std::size_t next = 0;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if ((c == '{' || c == '}') && at + 1 < text.size() && text[at + 1] == c) {
      out += c;
      ++at;
    } else if (c == '{') {
      const std::size_t end = text.find('}', at);
      if (end == std::string::npos) machine.fail("a format has an open brace");
      const std::string field = text.substr(at + 1, end - at - 1);
      const Value* value = nullptr;
      if (field.find_first_not_of("0123456789") == std::string::npos && field.size() < 6) {
        const std::size_t place = field.empty() ? next++ : std::stoul(field);
        if (place < arguments.all->positional.size()) value = &arguments.all->positional[place];
      } else {
        for (const auto& [name, named] : arguments.all->named)
          if (name == field) value = &named;
      }
      if (!value) machine.fail("the format field {" + field.substr(0, 80) + "} is not supported or has no value");
      out += machine.string_of(*value);
      machine.check_output(out.size());
      at = end;
    } else {
      out += c;
    }
  }
  return machine.text(std::move(out));
}

template <std::string (*change)(const std::string&)>
Value changed(Machine& machine, const Value& self, const Bound&) {
  return machine.text(change(own(self)));
}

Value filter_named(Machine& machine, const char* name, const Value& self, const Bound& arguments) {
  return apply_filter(machine, name, self, *arguments.all);
}

const Operation text_methods[] = {
    {"strip", "chars", strip<true, true>},
    {"lstrip", "chars", strip<true, false>},
    {"rstrip", "chars", strip<false, true>},
    {"split", "sep,maxsplit", split},
    {"rsplit", "sep,maxsplit", rsplit},
    {"splitlines", "keepends", splitlines},
    {"upper", "", changed<upper>},
    {"lower", "", changed<lower>},
    {"title", "", changed<title>},
    {"capitalize", "", changed<capitalize>},
    {"startswith", "prefix", has_affix<false>},
    {"endswith", "suffix", has_affix<true>},
    {"removeprefix", "prefix", remove_affix<false>},
    {"removesuffix", "suffix", remove_affix<true>},
    {"replace", "*",
     [](Machine& machine, const Value& self, const Bound& arguments) { return filter_named(machine, "replace", self, arguments); }},
    {"find", "sub", find<false>},
    {"rfind", "sub", find<true>},
    {"count", "sub", count_text},
    {"partition", "sep", partition},
    {"isalpha", "", all_are<alphabetic>},
    {"isdigit", "", all_are<decimal>},
    {"isnumeric", "", all_are<decimal>},
    {"isalnum", "", all_are<alphanumeric>},
    {"isspace", "", all_are<is_blank>},
    {"isupper", "", has_case<true>},
    {"islower", "", has_case<false>},
    {"format", "*", format_braces},
    {"join", "iterable",
     [](Machine& machine, const Value& self, const Bound& arguments) {
       if (!arguments.given(0)) machine.fail("an argument is missing");
       Arguments separator;
       separator.positional.push_back(self);
       return apply_filter(machine, "join", *arguments[0], separator);
     }},
};

const Operation dict_methods[] = {
    {"items", "",
     [](Machine& machine, const Value& self, const Bound& arguments) { return filter_named(machine, "items", self, arguments); }},
    {"keys", "", [](Machine& machine, const Value& self, const Bound&) { return machine.list(machine.items_of(self)); }},
    {"values", "",
     [](Machine& machine, const Value& self, const Bound&) {
       std::vector<Value> values;
       for (const auto& [key, value] : self.dict()->items) values.push_back(value);
       return machine.list(std::move(values));
     }},
    {"get", "key,default",
     [](Machine& machine, const Value& self, const Bound& arguments) {
       if (!arguments.given(0)) machine.fail("an argument is missing");
       if (const Value* found = self.dict()->find(*arguments[0])) return *found;
       return arguments.given(1) ? *arguments[1] : Value(None{});
     }},
    {"copy", "", [](Machine&, const Value& self, const Bound&) { return self; }},
};

const Operation list_methods[] = {
    {"index", "value",
     [](Machine& machine, const Value& self, const Bound& arguments) {
       for (std::size_t i = 0; i < self.list()->items.size() && arguments.given(0); ++i)
         if (machine.equal(self.list()->items[i], *arguments[0])) return Value(static_cast<std::int64_t>(i));
       machine.fail("the value is not in the list");
     }},
    {"count", "value",
     [](Machine& machine, const Value& self, const Bound& arguments) {
       std::int64_t count = 0;
       for (const Value& item : self.list()->items) count += arguments.given(0) && machine.equal(item, *arguments[0]);
       return Value(count);
     }},
    {"copy", "", [](Machine&, const Value& self, const Bound&) { return self; }},
};

template <std::size_t count>
const Operation* look_up(const Operation (&operations)[count], std::string_view name) {
  for (const Operation& operation : operations)
    if (operation.name == name) return &operation;
  return nullptr;
}

}  // namespace

const Operation* find_method(const Value& self, std::string_view name) {
  if (self.text()) return look_up(text_methods, name);
  if (self.dict()) return look_up(dict_methods, name);
  if (self.list()) return look_up(list_methods, name);
  return nullptr;
}

}  // namespace lrc::jinja
