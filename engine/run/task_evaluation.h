#pragma once
// `lrc evaluate`: tasks on a model or a run, resumable, beside a reference.
#include <filesystem>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/progress.h"
#include "evaluation/task_statistics.h"
#include "run/open_model.h"
#include "run/task_state.h"

namespace lrc {

struct TaskRequest {
  std::vector<std::string> tasks;           ///< by name; empty = every task that has a file in `data`
  std::vector<std::filesystem::path> data;  ///< files, or folders with files
  std::size_t limit = 0;                    ///< the first items of each task; 0 = all
  std::optional<bool> bos;                  ///< begin with the BOS token; absent = as the model's tokenizer does by itself
  std::string device = "cpu";
  /// Continued from when it is there, written every few seconds; empty = none. One of another model, task file, device or BOS
  /// is refused.
  std::filesystem::path state;
};

struct TaskResult {
  std::string task, file, sha256;
  TaskFigures figures;
  std::optional<TaskFigures> reference;
  std::optional<PairedShares> paired, paired_normalized;
};

struct TaskReport {
  TaskModel model;
  std::optional<TaskModel> reference;
  std::vector<TaskResult> results;
  bool bos = false;
  std::string device;
  std::size_t scored = 0, resumed = 0;  ///< items scored now, and taken from the state; both models together
  double seconds = 0;                   ///< of scoring, without loading
};

/// Reads and checks all task files before any model is loaded. Throws Error; after a stop the state holds what was finished.
TaskReport evaluate_tasks(const OpenedModel& model, const OpenedModel* reference, const TaskRequest& request, Progress& progress,
                          std::stop_token stop);
Json to_json(const TaskReport& report);

/// One line of what RUN/tasks.json reports: the figure that papers quote, acc_norm where the task has it and acc elsewhere.
struct StoredTaskResult {
  std::string task, sha256;
  std::size_t count = 0;
  double value = 0;
  std::optional<double> standard_error;
  bool normalized = false;
  std::optional<double> original;  ///< the same figure of the run's original, where it was the reference
};
struct StoredTasks {
  std::vector<StoredTaskResult> results;
  Json report;            ///< as evaluate_tasks gave it; null when there is none
  bool outdated = false;  ///< there is one, but the run was solved again since
};
StoredTasks stored_tasks(const std::filesystem::path& run_folder, const Manifest& run);

}  // namespace lrc
