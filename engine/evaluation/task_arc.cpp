// ARC (Clark et al. 2018), easy and challenge: questions of school science, mostly with four answers.
#include <algorithm>

#include "evaluation/tasks.h"

namespace lrc {
namespace {

TaskItem item(const TaskRow& row) {
  if (!row.has("question")) return item_of_choices(row, question_prompt(row.text("query")));
  const std::string prompt = question_prompt(row.text("question"));
  const TaskRow choices = row.inner("choices");
  const auto labels = choices.texts("label");
  TaskItem result;
  result.line = row.line();
  for (const std::string& answer : choices.texts("text")) result.choices.push_back(answer_after(prompt, answer));
  const auto right = std::find(labels.begin(), labels.end(), row.text("answerKey"));
  if (right == labels.end() || labels.size() != result.choices.size()) row.fail("has an answerKey that is no label of its choices");
  result.gold = std::size_t(right - labels.begin());
  return result;
}

Task task(std::string_view name, std::string_view sentence) {
  return {.name = name,
          .sentence = sentence,
          .fields = "query, choices, gold (or question, choices {text, label}, answerKey)",
          .normalized = true,
          .files = {std::string(name)},
          .item = item};
}

}  // namespace

Task arc_easy_task() { return task("arc_easy", "Questions of school science, the easier set"); }
Task arc_challenge_task() { return task("arc_challenge", "Questions of school science that simple methods got wrong"); }

}  // namespace lrc
