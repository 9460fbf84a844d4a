#pragma once
// The head of one column of the chat: which model, on which device, how fast.
#include <QComboBox>
#include <QLabel>
#include <QWidget>

#include "backend/backend.h"
#include "models/conversation.h"
#include "panels/panel_widgets.h"

namespace lrc::app {

class ChatSide : public QWidget {
  Q_OBJECT
 public:
  ChatSide(int side, QWidget* parent);
  void setTitle(const QString& title) { title_->setText(title); }
  QString title() const { return title_->text(); }
  /// Unusable devices are listed, disabled, with the reason.
  void setDevices(const std::vector<DeviceInfo>& devices);
  std::string device() const;
  void setDevice(const std::string& id);
  void setState(const QString& state);  ///< "loading weights…"; empty shows the numbers
  void setSpeed(double tokens_per_second, double first_token_s);
  void setMemory(qulonglong bytes);
  void setSharing(const QString& with);  ///< what makes this side slower now; empty: nothing

 signals:
  void deviceChanged();

 protected:
  void paintEvent(QPaintEvent* event) override;
  void changeEvent(QEvent* event) override;

 private:
  void write();
  int side_;
  ElidedLabel* title_;
  QComboBox* devices_;
  QLabel *numbers_, *sharing_;
  QString state_;
  double speed_ = 0, first_token_ = 0;
  qulonglong memory_ = 0;
};

/// "CPU · 8 threads", "Vulkan · name · 12.0 GiB"
QString device_title(const DeviceInfo& device);

}  // namespace lrc::app
