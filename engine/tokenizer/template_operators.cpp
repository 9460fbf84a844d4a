#include <algorithm>
#include <cmath>

#include "tokenizer/template_machine.h"
#include "tokenizer/unicode.h"

namespace lrc::jinja {

namespace {

[[noreturn]] void overflow(Machine& machine) { machine.fail("a number is too large"); }

Value whole_operation(Machine& machine, std::string_view op, std::int64_t a, std::int64_t b) {
  std::int64_t result = 0;
  if (op == "+" && !__builtin_add_overflow(a, b, &result)) return Value(result);
  if (op == "-" && !__builtin_sub_overflow(a, b, &result)) return Value(result);
  if (op == "*" && !__builtin_mul_overflow(a, b, &result)) return Value(result);
  if (op == "+" || op == "-" || op == "*") overflow(machine);
  if (op == "**") {
    if (b < 0) return Value(std::pow(static_cast<double>(a), static_cast<double>(b)));
    result = 1;
    for (std::int64_t i = 0; i < b && a != 1 && result != 0; ++i) {
      machine.step();
      if (__builtin_mul_overflow(result, a, &result)) overflow(machine);
    }
    return Value(result);
  }
  if (b == 0) machine.fail("a number is divided by 0");
  if (op == "/") return Value(static_cast<double>(a) / static_cast<double>(b));
  if (b == -1) {  // the smallest number has no counterpart above 0
    if (op == "%") return Value(std::int64_t{0});
    if (__builtin_sub_overflow(std::int64_t{0}, a, &result)) overflow(machine);
    return Value(result);
  }
  std::int64_t quotient = a / b, remainder = a % b;
  if (remainder != 0 && (remainder < 0) != (b < 0)) {  // towards minus infinity, as in Python
    --quotient;
    remainder += b;
  }
  return Value(op == "//" ? quotient : remainder);
}

Value real_operation(Machine& machine, std::string_view op, double a, double b) {
  if (op == "+") return Value(a + b);
  if (op == "-") return Value(a - b);
  if (op == "*") return Value(a * b);
  if (op == "**") return Value(std::pow(a, b));
  if (b == 0) machine.fail("a number is divided by 0");
  if (op == "/") return Value(a / b);
  if (op == "//") return Value(std::floor(a / b));
  const double remainder = std::fmod(a, b);
  return Value(remainder != 0 && (remainder < 0) != (b < 0) ? remainder + b : remainder);
}

Value repeated(Machine& machine, const Value& value, std::int64_t times) {
  const auto count = static_cast<std::size_t>(std::max<std::int64_t>(times, 0));
  if (const std::string* text = value.text()) {
    if (count > 0) machine.check_output(text->size() > SIZE_MAX / count ? SIZE_MAX : text->size() * count);
    std::string result;
    result.reserve(text->size() * count);
    for (std::size_t i = 0; i < count && !text->empty(); ++i) result += *text;
    return machine.text(std::move(result));
  }
  const auto& items = value.list()->items;
  if (count > 0 && items.size() > (std::size_t{1} << 40) / count) machine.fail("it uses too much memory");
  machine.charge(items.size() * count * sizeof(Value));
  std::vector<Value> result;
  result.reserve(items.size() * count);
  for (std::size_t i = 0; i < count && !items.empty(); ++i) result.insert(result.end(), items.begin(), items.end());
  return machine.list(std::move(result));
}

bool contains(Machine& machine, const Value& container, const Value& value) {
  if (container.is<Undefined>()) return false;
  if (const std::string* text = container.text()) {
    if (value.is<Undefined>()) return false;
    if (!value.text()) machine.fail(std::string(value.kind_name()) + " cannot be part of a text");
    machine.step(text->size() / 256);
    return text->find(*value.text()) != std::string::npos;
  }
  if (const DictData* dict = container.dict()) return dict->find(value) != nullptr;
  if (const ListData* list = container.list()) {
    for (const Value& item : list->items) {
      machine.step();
      // Unlike ==, a search tells true from 1.
      if (item.is<bool>() == value.is<bool>() && machine.equal(item, value)) return true;
    }
    return false;
  }
  if (container.is<Namespace*>() && value.text()) return container.as<Namespace*>()->members.contains(*value.text());
  machine.fail(std::string(container.kind_name()) + " has no items to look in");
}

std::string joined(Machine& machine, std::string left, const std::string& right) {
  machine.check_output(left.size() + right.size());
  return std::move(left) + right;
}

}  // namespace

Value binary_operation(Machine& machine, std::string_view op, const Value& a, const Value& b) {
  machine.step();
  if (op == "~") return machine.text(joined(machine, machine.display(a), machine.display(b)));
  if (a.number() && b.number()) {
    if (a.whole() && b.whole()) return whole_operation(machine, op, a.integer(), b.integer());
    return real_operation(machine, op, a.real(), b.real());
  }
  if (op == "+") {
    // Python would refuse a text and a number; templates in use rely on either being joined.
    const auto part = [](const Value& value) { return value.text() || value.number() || value.list() || value.dict(); };
    if ((a.text() && part(b)) || (b.text() && part(a))) return machine.text(joined(machine, machine.string_of(a), machine.string_of(b)));
    if (a.list() && b.list()) {
      std::vector<Value> items = machine.items_of(a), more = machine.items_of(b);
      items.insert(items.end(), more.begin(), more.end());
      return machine.list(std::move(items));
    }
  }
  if (op == "*" && (a.text() || a.list()) && b.whole()) return repeated(machine, a, b.integer());
  if (op == "*" && (b.text() || b.list()) && a.whole()) return repeated(machine, b, a.integer());
  if (op == "%" && a.text()) {
    const std::vector<Value> values = b.list() ? machine.items_of(b) : std::vector<Value>(1, b);
    return machine.text(format_percent(machine, *a.text(), values));
  }
  machine.fail("\"" + std::string(op) + "\" cannot be used with " + a.kind_name() + " and " + b.kind_name());
}

bool comparison(Machine& machine, std::string_view op, const Value& a, const Value& b) {
  machine.step();
  if (op == "==") return machine.equal(a, b);
  if (op == "!=") return !machine.equal(a, b);
  if (op == "in") return contains(machine, b, a);
  if (op == "not in") return !contains(machine, b, a);
  const int order = machine.compare(a, b);
  if (op == "<") return order < 0;
  if (op == "<=") return order <= 0;
  if (op == ">") return order > 0;
  return order >= 0;
}

Value slice_of(Machine& machine, const Value& value, const Value* start, const Value* stop, const Value* step) {
  if (value.is<Undefined>()) machine.fail("a part is asked of something undefined");
  if (!value.list() && !value.text()) machine.fail(std::string(value.kind_name()) + " has no parts that could be sliced");
  const auto number = [&](const Value* given) -> std::optional<std::int64_t> {
    if (!given || given->is<None>()) return std::nullopt;
    if (!given->whole()) machine.fail("the borders of a slice have to be whole numbers");
    return given->integer();
  };
  const std::int64_t stride = number(step).value_or(1);
  if (stride == 0) machine.fail("the step of a slice is 0");
  std::u32string characters;
  if (value.text()) {
    machine.charge(4 * value.text()->size());
    characters = unicode::to_code_points(*value.text());
  }
  const auto count = static_cast<std::int64_t>(value.text() ? characters.size() : value.list()->items.size());
  const std::int64_t lowest = stride > 0 ? 0 : -1, highest = stride > 0 ? count : count - 1;
  const auto border = [&](const Value* given, std::int64_t otherwise) {
    const auto place = number(given);
    if (!place) return otherwise;
    if (*place < -count) return lowest;
    return std::clamp(*place < 0 ? *place + count : *place, lowest, highest);
  };
  const std::int64_t first = border(start, stride > 0 ? lowest : highest), last = border(stop, stride > 0 ? highest : lowest);
  std::u32string part;
  std::vector<Value> items;
  for (std::int64_t i = first; stride > 0 ? i < last : i > last;) {
    if (value.text())
      part += characters[static_cast<std::size_t>(i)];
    else
      items.push_back(value.list()->items[static_cast<std::size_t>(i)]);
    if (__builtin_add_overflow(i, stride, &i)) break;
  }
  return value.text() ? machine.text(unicode::from_code_points(part)) : machine.list(std::move(items));
}

}  // namespace lrc::jinja
