#pragma once
// Zero-shot tasks by the conventions of the common harness (lm-evaluation-harness): what is read, what is scored, what counts.
// One file a task; the list stands in tasks.cpp.
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "evaluation/task_row.h"

namespace lrc {

/// One answer: the text that the model reads and the text whose likelihood is asked for, the blank between them included.
struct TaskChoice {
  std::string context, continuation;
  /// What acc_norm divides the log-likelihood by: characters (not bytes) of the answer without the blank before it.
  std::size_t characters = 1;
};

struct TaskItem {
  std::size_t line = 0;  ///< of the file, from 1
  std::vector<TaskChoice> choices;
  std::size_t gold = 0;
};

struct Task {
  std::string_view name;  ///< "arc_easy"
  std::string_view sentence;
  std::string_view fields;         ///< of a row, for messages: "query, choices, gold"
  bool normalized = false;         ///< acc_norm belongs to its convention
  bool greedy = false;             ///< one answer, right when every token of it is the likeliest one
  bool six_line_texts = false;     ///< also as .txt: context, index of the answer, four endings; a line each
  std::vector<std::string> files;  ///< names of its files, without ending, in order of preference
  /// Throws Error naming file, line and field.
  TaskItem (*item)(const TaskRow& row);
};

const std::vector<Task>& tasks();
/// Throws Error(bad_input) naming the tasks that exist.
const Task& task_named(std::string_view name);

// The entries of the list.
Task piqa_task();
Task arc_easy_task();
Task arc_challenge_task();
Task hellaswag_task();
Task winogrande_task();
Task lambada_task();
Task copa_task();

// Shared by the tasks' files.

/// An answer after the usual delimiter, one blank.
TaskChoice answer_after(std::string context, const std::string& answer);
/// The row {query, choices, gold}: every choice after `context`.
TaskItem item_of_choices(const TaskRow& row, const std::string& context);
/// "Question: …\nAnswer:"; a question that brings its own "Question: " or line end keeps one of each.
std::string question_prompt(const std::string& question);

}  // namespace lrc
