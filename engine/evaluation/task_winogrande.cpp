// WinoGrande (Sakaguchi et al. 2020): which of two names a blank stands for. Scored by partial context (Trinh and Le 2018): the
// name is part of what is read, and the rest of the sentence, the same for both, is what is scored.
#include "evaluation/tasks.h"
#include "tokenizer/template_text.h"

namespace lrc {
namespace {

TaskItem item(const TaskRow& row) {
  TaskItem result;
  result.line = row.line();
  if (row.has("context_options")) {
    const std::string rest = row.text("continuation");
    for (const std::string& context : row.texts("context_options")) result.choices.push_back(answer_after(context, rest));
    result.gold = row.index("gold", result.choices.size());
    return result;
  }
  const std::string sentence = row.text("sentence");
  const std::size_t blank = sentence.find('_');
  if (blank == std::string::npos) row.fail("has a sentence without the blank _");
  const std::string rest = jinja::stripped(sentence.substr(blank + 1), "", true, true);
  if (rest.empty()) row.fail("has a sentence that ends with its blank _");
  for (const char* option : {"option1", "option2"})
    result.choices.push_back(answer_after(sentence.substr(0, blank) + row.text(option), rest));
  result.gold = row.index("answer", 2, 1);
  return result;
}

}  // namespace

Task winogrande_task() {
  return {.name = "winogrande",
          .sentence = "Which of two names a blank stands for",
          .fields = "context_options, continuation, gold (or sentence, option1, option2, answer)",
          .files = {"winogrande"},
          .item = item};
}

}  // namespace lrc
