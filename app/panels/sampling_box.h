#pragma once
// How both sides answer: mode, colouring, sampling, prompt form.
#include <QCheckBox>
#include <QComboBox>
#include <QDoubleSpinBox>
#include <QPlainTextEdit>
#include <QSpinBox>
#include <QWidget>

#include "base/json.h"
#include "models/conversation.h"
#include "panels/panel_widgets.h"
#include "panels/token_text.h"

class QVBoxLayout;

namespace lrc::app {

class SamplingBox : public QWidget {
  Q_OBJECT
 public:
  explicit SamplingBox(QWidget* parent);
  ChatMode mode() const { return ChatMode(mode_->current()); }
  TokenColour colour() const { return TokenColour(colour_->currentData().toInt()); }
  Sampling sampling(int side) const;  ///< the same for both, but for B's seed where it has one of its own
  std::size_t maxTokens() const { return std::size_t(max_new_->value()); }
  PromptForm form() const { return PromptForm(form_->currentIndex()); }
  std::size_t context() const { return std::size_t(context_->value()); }
  void setContext(std::size_t tokens) { context_->setValue(int(tokens)); }
  void setLongestContext(std::size_t tokens);  ///< of the model
  void takeDefaults();                         ///< what the settings say a chat begins with
  Json toJson() const;                         ///< for the session
  /// Takes what it understands, within the range of each field; what is not there stays as it is.
  void fromJson(const Json& json);
  void nextMode();
  /// `problem`: why the model's own template is not used.
  void setForm(PromptForm form, bool own_exists, const QString& problem);

 signals:
  void colourChanged();
  void edited();  ///< by hand

 private:
  void makeSampling(QVBoxLayout* column);
  void applyPreset(int preset);
  void choose(QComboBox* box, int value);
  void takeEdit();
  SegmentSwitch* mode_;
  QLabel *mode_text_, *form_problem_;
  QComboBox *colour_, *preset_, *form_;
  QWidget* scale_;
  QDoubleSpinBox *temperature_, *top_p_, *min_p_, *repetition_;
  QSpinBox *top_k_, *max_new_, *seed_, *seed_b_, *context_;
  QCheckBox* same_seed_;
  QPlainTextEdit* stop_;
  bool applying_ = false;
};

}  // namespace lrc::app
