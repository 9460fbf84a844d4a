#pragma once
// What plain rounding alone does to each weight, before anything is measured: fills from the first layer to the last beside
// whatever else is done. One object a workspace, its child.
#include <QObject>
#include <QTimer>
#include <memory>
#include <optional>
#include <vector>

#include "workspace.h"

namespace lrc::app {

class WeightErrors : public QObject {
  Q_OBJECT
 public:
  static WeightErrors& of(Workspace& workspace);  ///< made at first use
  ~WeightErrors() override;

  /// ‖W − Ŵ‖² ÷ ‖W‖² of plain rounding by the draft's rotation and weight scheme; empty while it is not known.
  std::optional<double> value(int layer) const;

 signals:
  void changed();

 private:
  explicit WeightErrors(Workspace& workspace);
  void ask();

  Workspace& workspace_;
  std::unique_ptr<JobQueue> lane_;
  QTimer rest_;  ///< a draft under the keys is not worth rounding
  RotationChoice rotation_;
  std::vector<std::optional<WeightScheme>> schemes_;  ///< that the values are of
  std::vector<std::optional<double>> values_;
};

}  // namespace lrc::app
