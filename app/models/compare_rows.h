#pragma once
// A against B, row by row: recipe choices, then results with difference and direction.
#include <QString>
#include <vector>

#include "workspace.h"

namespace lrc::app {

struct CompareRow {
  enum class Direction { none, better, worse, noise };
  QString section;  ///< filled in the first row of a section
  QString name, a, b, change;
  Direction direction = Direction::none;
  bool differs = false;
};
/// Either side null: the original.
std::vector<CompareRow> compare_runs(const RunEntry* a, const RunEntry* b, const Model& model);
QString to_markdown(const std::vector<CompareRow>& rows, const QString& title_a, const QString& title_b, bool only_differing);

}  // namespace lrc::app
