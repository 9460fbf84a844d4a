#pragma once
// The list of export targets: title, consumers, how many findings of each kind.
#include <QListWidget>
#include <map>
#include <string>

#include "models/export_check.h"

namespace lrc::app {

class ExportTargets : public QListWidget {
 public:
  /// `preflights` by exporter name; call viewport()->update() when they change.
  ExportTargets(const std::map<std::string, Preflight>& preflights, QWidget* parent);
  const Exporter* current() const;
};

}  // namespace lrc::app
