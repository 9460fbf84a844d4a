#pragma once
// The file that a task evaluation continues from, and that `lrc compare` reads: log-likelihoods of every finished item, and
// the figures of the last complete evaluation. Written whole or not at all.
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "evaluation/task_data.h"
#include "evaluation/task_scores.h"

namespace lrc {

/// A model by its content: a checkpoint's SHA-256; of a run also what it solved.
struct TaskModel {
  std::string name, path, identity;
};

struct TaskScores {
  std::string task, file, sha256;
  std::vector<ItemScore> items;  ///< of the file's first items
};

struct TaskState {
  TaskModel model;
  std::string device;
  bool bos = false;
  std::vector<TaskScores> scores;
  /// Other models on the same items, by identity.
  struct Reference {
    TaskModel model;
    bool bos = false;
    std::vector<TaskScores> scores;
  };
  std::vector<Reference> references;
  Json report;  ///< of the last complete evaluation; null before
};

/// Nothing when there is no such file. Throws Error(bad_file) naming file and key.
std::optional<TaskState> read_task_state(const std::filesystem::path& file);
void write_task_state(const std::filesystem::path& file, const TaskState& state);
/// RUN/tasks.json.
std::filesystem::path task_state_of_run(const std::filesystem::path& run_folder);

}  // namespace lrc
