#include "evaluation/task_row.h"

#include "base/error.h"

namespace lrc {

TaskRow::TaskRow(Json json, std::string file, std::size_t line, std::string expected)
    : json_(std::move(json)), file_(std::move(file)), line_(line), expected_(std::move(expected)) {
  if (!json_.is_object()) fail("is no JSON object");
}

void TaskRow::fail(const std::string& what) const {
  throw Error(ErrorKind::bad_file, file_ + " line " + std::to_string(line_) + " " + what + "; a line has the fields " + expected_ + ".");
}

const Json& TaskRow::at(const char* field) const {
  const auto found = json_.find(field);
  if (found == json_.end()) fail("lacks the field " + std::string(field));
  return *found;
}

std::string TaskRow::text_or_empty(const char* field) const {
  const Json& value = at(field);
  if (!value.is_string()) fail("has a " + std::string(field) + " that is no text");
  return value.get<std::string>();
}

std::string TaskRow::text(const char* field) const {
  auto text = text_or_empty(field);
  if (text.empty()) fail("has an empty " + std::string(field));
  return text;
}

std::vector<std::string> TaskRow::texts(const char* field) const {
  const Json& value = at(field);
  if (!value.is_array() || value.size() < 2) fail("has " + std::string(field) + " that are no list of at least two texts");
  std::vector<std::string> texts;
  for (const Json& entry : value) {
    if (!entry.is_string() || entry.get_ref<const std::string&>().empty())
      fail("has an entry of " + std::string(field) + " that is empty or no text");
    texts.push_back(entry.get<std::string>());
  }
  return texts;
}

std::size_t TaskRow::index(const char* field, std::size_t count, std::size_t first) const {
  const Json& value = at(field);
  const std::string written = value.is_string() ? value.get<std::string>() : value.dump();
  for (std::size_t i = 0; i < count; ++i)
    if (written == std::to_string(first + i)) return i;
  fail("has the " + std::string(field) + " " + written.substr(0, 40) + ", which is not one of " + std::to_string(first) + " to " +
       std::to_string(first + count - 1));
}

TaskRow TaskRow::inner(const char* field) const { return {at(field), file_, line_, expected_}; }

}  // namespace lrc
