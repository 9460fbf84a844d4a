#include "models/run_selection.h"

namespace lrc::app {

RunSelection& RunSelection::of(QObject& workspace) {
  if (auto* found = workspace.findChild<RunSelection*>({}, Qt::FindDirectChildrenOnly)) return *found;
  return *new RunSelection(&workspace);
}

void RunSelection::select(int number) {
  if (number == number_) return;
  number_ = number;
  emit changed(number_);
}

}  // namespace lrc::app
