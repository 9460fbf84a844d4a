#pragma once
// What each layer alone does to the model's output: the Sens. column. Measured on a lane of its own. One object a workspace, its child.
#include <QObject>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "run/sensitivity.h"
#include "workspace.h"

namespace lrc::app {

class Sensitivities : public QObject {
  Q_OBJECT
 public:
  static Sensitivities& of(Workspace& workspace);  ///< made at first use
  ~Sensitivities() override;

  /// Quantizes each layer plainly, with the bits, activations and rotation of B (of the draft where B is the original), and reads the
  /// held-out tokens with that layer alone quantized.
  void measure();
  void stop();
  std::optional<ProgressUpdate> measuring() const { return measuring_; }
  bool isMeasured() const;                                             ///< for B as it is
  std::optional<double> expectedSeconds() const { return expected_; }  ///< of measure(); worked out a moment after B changed

  struct Value {
    double nats = 0;         ///< KL per token that the layer alone adds
    bool estimated = false;  ///< B is not plain: the plain layer's, times what B leaves of its error
  };
  std::optional<Value> value(int layer) const;

 signals:
  void changed();
  void progress();

 private:
  explicit Sensitivities(Workspace& workspace);
  Recipe recipe() const;  ///< plain, without a name
  const std::string& key() const;
  void forget();
  void expect();  ///< what measure() would take, or what is kept of an earlier one
  void take(const std::string& key, std::vector<LayerSensitivity> layers);

  Workspace& workspace_;
  std::unique_ptr<JobQueue> lane_;
  std::map<std::string, std::map<std::string, LayerSensitivity>> known_;  ///< by the plain recipe's text, then by layer
  std::optional<ProgressUpdate> measuring_;
  std::optional<double> expected_;
  mutable std::map<int, std::string> keys_;  ///< by run
  mutable std::string draft_key_;
};

}  // namespace lrc::app
