// PIQA (Bisk et al. 2020): which of two solutions reaches a goal.
#include "evaluation/tasks.h"

namespace lrc {
namespace {

TaskItem item(const TaskRow& row) {
  if (!row.has("goal")) return item_of_choices(row, question_prompt(row.text("query")));
  const std::string prompt = question_prompt(row.text("goal"));
  return {row.line(), {answer_after(prompt, row.text("sol1")), answer_after(prompt, row.text("sol2"))}, row.index("label", 2)};
}

}  // namespace

Task piqa_task() {
  return {.name = "piqa",
          .sentence = "Which of two solutions reaches a goal",
          .fields = "query, choices, gold (or goal, sol1, sol2, label)",
          .normalized = true,
          .files = {"piqa"},
          .item = item};
}

}  // namespace lrc
