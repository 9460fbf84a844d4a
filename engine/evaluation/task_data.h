#pragma once
// From task files to items.
#include <filesystem>
#include <string>
#include <vector>

#include "evaluation/tasks.h"

namespace lrc {

struct TaskData {
  const Task* task = nullptr;
  std::filesystem::path file;
  std::string sha256;
  std::vector<TaskItem> items;
};

/// A JSON object a line (empty lines are passed over), or for tasks that have it the form of six lines of text an item.
/// `limit` 0 = all items; lines behind it are not looked at. Throws Error naming file, line and field.
TaskData read_task(const Task& task, const std::filesystem::path& file, std::size_t limit);

/// The file of each task among `places`: files, and folders that are searched together with the folders in them. A name fits
/// when it is one of the task's names. Tasks without a file throw Error(not_found) naming what was looked for; two files for
/// one task throw Error(bad_input) naming both.
std::vector<std::filesystem::path> find_task_files(const std::vector<const Task*>& tasks, const std::vector<std::filesystem::path>& places);
/// The tasks of the list that have a file there.
std::vector<const Task*> tasks_with_files(const std::vector<std::filesystem::path>& places);

}  // namespace lrc
