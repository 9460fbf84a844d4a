#pragma once
// How both sides answer: mode, colouring, sampling, prompt form.
#include <QComboBox>
#include <QDoubleSpinBox>
#include <QSpinBox>
#include <QWidget>

#include "models/conversation.h"
#include "panels/panel_widgets.h"
#include "panels/token_text.h"

namespace lrc::app {

class SamplingBox : public QWidget {
  Q_OBJECT
 public:
  explicit SamplingBox(QWidget* parent);
  ChatMode mode() const { return ChatMode(mode_->current()); }
  TokenColour colour() const { return TokenColour(colour_->currentIndex()); }
  Sampling sampling() const;
  std::size_t maxTokens() const { return std::size_t(max_new_->value()); }
  PromptForm form() const { return PromptForm(form_->currentIndex()); }
  void takeDefaults();  ///< what the settings say a chat begins with
  void nextMode();
  /// `problem`: why the model's own template is not used.
  void setForm(PromptForm form, bool own_exists, const QString& problem);

 signals:
  void colourChanged();

 private:
  void applyPreset(int preset);
  SegmentSwitch* mode_;
  QLabel *mode_text_, *form_problem_;
  QComboBox *colour_, *preset_, *form_;
  QDoubleSpinBox *temperature_, *top_p_;
  QSpinBox *top_k_, *max_new_, *seed_;
  bool applying_ = false;
};

}  // namespace lrc::app
