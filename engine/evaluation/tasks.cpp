#include "evaluation/tasks.h"

#include "base/error.h"
#include "tokenizer/template_text.h"
#include "tokenizer/unicode.h"

namespace lrc {

const std::vector<Task>& tasks() {
  static const std::vector<Task> list = {piqa_task(),       arc_easy_task(), arc_challenge_task(), hellaswag_task(),
                                         winogrande_task(), lambada_task(),  copa_task()};
  return list;
}

const Task& task_named(std::string_view name) {
  std::string known;
  for (const Task& task : tasks()) {
    if (task.name == name) return task;
    known += (known.empty() ? "" : ", ") + std::string(task.name);
  }
  throw Error(ErrorKind::bad_input, "There is no task " + std::string(name) + "; the tasks are " + known + ".");
}

TaskChoice answer_after(std::string context, const std::string& answer) {
  return {std::move(context), " " + answer, std::max<std::size_t>(1, unicode::to_code_points(answer).size())};
}

TaskItem item_of_choices(const TaskRow& row, const std::string& context) {
  TaskItem item;
  item.line = row.line();
  for (const std::string& choice : row.texts("choices")) item.choices.push_back(answer_after(context, choice));
  item.gold = row.index("gold", item.choices.size());
  return item;
}

std::string question_prompt(const std::string& question) {
  std::string text = jinja::stripped(question, "\r\n", false, true);
  if (!text.starts_with("Question: ")) text = "Question: " + text;
  return text + "\nAnswer:";
}

}  // namespace lrc
