// COPA (Roemmele et al. 2011): which of two sentences is the cause or the effect of a premise.
#include "evaluation/tasks.h"
#include "tokenizer/template_text.h"

namespace lrc {
namespace {

std::string begun_small(std::string sentence) {
  if (sentence[0] >= 'A' && sentence[0] <= 'Z') sentence[0] = char(sentence[0] - 'A' + 'a');
  return sentence;
}

TaskItem item(const TaskRow& row) {
  if (!row.has("premise")) {
    // This form puts a comma before the connector, the harness none.
    std::string context = row.text("query");
    for (const char* connector : {", because", ", therefore"})
      if (context.ends_with(connector)) context.erase(context.size() - std::string_view(connector).size(), 1);
    return item_of_choices(row, context);
  }
  std::string premise = jinja::stripped(row.text("premise"), "", true, true);
  if (premise.empty()) row.fail("has an empty premise");
  premise.pop_back();  // its full stop
  const std::string question = row.text("question");
  if (question != "cause" && question != "effect") row.fail("has a question that is neither cause nor effect");
  const std::string context = premise + (question == "cause" ? " because" : " therefore");
  return {row.line(),
          {answer_after(context, begun_small(row.text("choice1"))), answer_after(context, begun_small(row.text("choice2")))},
          row.index("label", 2)};
}

}  // namespace

Task copa_task() {
  return {.name = "copa",
          .sentence = "Which of two sentences is the cause or the effect of a premise",
          .fields = "query, choices, gold (or premise, question, choice1, choice2, label)",
          .files = {"copa"},
          .item = item};
}

}  // namespace lrc
