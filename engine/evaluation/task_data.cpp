#include "evaluation/task_data.h"

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/files.h"
#include "base/hash.h"

namespace lrc {
namespace {

/// Without the line end; the place moves behind it.
std::string_view next_line(std::string_view text, std::size_t& at) {
  const std::size_t end = std::min(text.find('\n', at), text.size());
  std::string_view line = text.substr(at, end - at);
  at = end + 1;
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

/// Context, index of the answer, four endings: as the row that the task's JSON form has.
Json six_lines(std::string_view text, std::size_t& at, const std::filesystem::path& file, std::size_t first_line) {
  const std::string context(next_line(text, at));
  if (at > text.size())
    throw Error(ErrorKind::bad_file, file.string() + " line " + std::to_string(first_line) + " has no answers behind it.");
  const std::string gold(next_line(text, at));
  Json choices = Json::array();
  for (int i = 0; i < 4; ++i) {
    if (at >= text.size())
      throw Error(ErrorKind::bad_file, file.string() + " ends in the middle of the item that starts at line " + std::to_string(first_line) +
                                           "; an item is six lines (context, index of the answer, four endings).");
    choices.push_back(std::string(next_line(text, at)));
  }
  return {{"query", context}, {"choices", choices}, {"gold", gold}};
}

bool fits(const Task& task, const std::filesystem::path& file) {
  const auto ending = file.extension();
  if (ending != ".jsonl" && ending != ".json" && !(ending == ".txt" && task.six_line_texts)) return false;
  return std::ranges::find(task.files, file.stem().string()) != task.files.end();
}

std::vector<std::filesystem::path> files_of(const Task& task, const std::vector<std::filesystem::path>& places) {
  std::set<std::filesystem::path> found;
  for (const auto& place : places) {
    std::error_code code;
    if (std::filesystem::is_directory(place, code)) {
      for (auto entry =
               std::filesystem::recursive_directory_iterator(place, std::filesystem::directory_options::skip_permission_denied, code);
           !code && entry != std::filesystem::recursive_directory_iterator(); entry.increment(code)) {
        if (entry.depth() > 0) entry.disable_recursion_pending();
        if (entry->is_regular_file(code) && fits(task, entry->path())) found.insert(entry->path());
      }
    } else if (!std::filesystem::exists(place, code)) {
      throw Error(ErrorKind::not_found, place.string() + " is not there; --data names task files or folders with such files.");
    } else if (fits(task, place)) {
      found.insert(place);
    }
  }
  return {found.begin(), found.end()};
}

std::string names_of(const Task& task) {
  std::string names;
  for (const auto& name : task.files) names += (names.empty() ? "" : ", ") + name + ".jsonl";
  return names;
}

}  // namespace

TaskData read_task(const Task& task, const std::filesystem::path& file, std::size_t limit) {
  const std::string text = read_file(file);
  TaskData data{&task, file, sha256_of(text), {}};
  const bool lines = file.extension() == ".txt";
  std::size_t at = 0, line = 1;
  while (at < text.size() && (limit == 0 || data.items.size() < limit)) {
    if (lines) {
      Json row = six_lines(text, at, file, line);
      data.items.push_back(task.item(TaskRow(std::move(row), file.string(), line, "context, index of the answer, four endings")));
      line += 6;
      continue;
    }
    const std::string_view content = next_line(text, at);
    const std::string origin = file.string() + " line " + std::to_string(line);
    if (content.find_first_not_of(" \t") != std::string_view::npos)
      data.items.push_back(task.item(TaskRow(parse_json(content, origin), file.string(), line, std::string(task.fields))));
    ++line;
  }
  if (data.items.empty()) throw Error(ErrorKind::bad_file, file.string() + " holds no items of " + std::string(task.name) + ".");
  return data;
}

std::vector<std::filesystem::path> find_task_files(const std::vector<const Task*>& tasks,
                                                   const std::vector<std::filesystem::path>& places) {
  std::vector<std::filesystem::path> result;
  for (const Task* task : tasks) {
    const auto found = files_of(*task, places);
    if (found.empty())
      throw Error(ErrorKind::not_found, "There is no file for " + std::string(task->name) + " in what --data names (" + names_of(*task) +
                                            (task->six_line_texts ? " or .txt" : "") + " was looked for).");
    if (found.size() > 1)
      throw Error(ErrorKind::bad_input, "Both " + found[0].string() + " and " + found[1].string() + " could be the file of " +
                                            std::string(task->name) + "; name one of them with --data.");
    result.push_back(found[0]);
  }
  return result;
}

std::vector<const Task*> tasks_with_files(const std::vector<std::filesystem::path>& places) {
  std::vector<const Task*> result;
  for (const Task& task : tasks())
    if (!files_of(task, places).empty()) result.push_back(&task);
  return result;
}

}  // namespace lrc
