#include "panels/chat_side.h"

#include <QHBoxLayout>
#include <QPainter>
#include <QSettings>
#include <QStandardItemModel>
#include <QVBoxLayout>
#include <algorithm>
#include <thread>

#include "panels/run_table_view.h"
#include "plot_style.h"

namespace lrc::app {

QString device_title(const DeviceInfo& device) {
  if (device.type == "cpu") return QObject::tr("CPU · %1 threads").arg(std::max(1u, std::thread::hardware_concurrency()));
  const QString name = QObject::tr("Vulkan · %1").arg(QString::fromStdString(device.name));
  return device.memory_bytes > 0 ? name + QStringLiteral(" · ") + format_gibibytes(device.memory_bytes) : name;
}

ChatSide::ChatSide(int side, QWidget* parent) : QWidget(parent), side_(side) {
  setObjectName(side == 0 ? "chatColumnA" : "chatColumnB");
  auto* column = new QVBoxLayout(this);
  column->setContentsMargins(0, 0, 0, 0);
  column->setSpacing(4);
  auto* row = new QHBoxLayout;
  row->setContentsMargins(24, 0, 0, 0);  // the badge is painted there
  row->setSpacing(8);
  title_ = new ElidedLabel({}, Qt::ElideRight, this);
  title_->setFont(font_of_points(font(), 10, true));
  title_->setSizePolicy(QSizePolicy::Expanding, QSizePolicy::Fixed);
  devices_ = new QComboBox(this);
  devices_->setObjectName(side == 0 ? "chatDeviceA" : "chatDeviceB");
  devices_->setAccessibleName(side == 0 ? tr("Device of A") : tr("Device of B"));
  devices_->setSizeAdjustPolicy(QComboBox::AdjustToMinimumContentsLengthWithIcon);
  devices_->setMinimumContentsLength(14);
  row->addWidget(title_, 1);
  row->addWidget(make_dim_label(tr("on"), this));
  row->addWidget(devices_);
  column->addLayout(row);
  numbers_ = new QLabel(this);
  numbers_->setTextFormat(Qt::RichText);
  numbers_->setSizePolicy(QSizePolicy::Ignored, QSizePolicy::Fixed);
  column->addWidget(numbers_);
  sharing_ = make_dim_label({}, this);
  sharing_->setObjectName(side == 0 ? "chatSharingA" : "chatSharingB");
  sharing_->hide();
  column->addWidget(sharing_);
  connect(devices_, &QComboBox::activated, this, &ChatSide::deviceChanged);
  write();
}

void ChatSide::setDevices(const std::vector<DeviceInfo>& devices) {
  // The person's choice; at first the one that the settings name.
  std::string wanted = device();
  if (devices_->count() <= 1) {
    const std::string preferred = QSettings().value("devices/preferred").toString().toStdString();
    for (const DeviceInfo& known : devices)
      if (known.usable && !preferred.empty() && known.uuid == preferred) wanted = known.id;
  }
  devices_->clear();
  auto* items = qobject_cast<QStandardItemModel*>(devices_->model());
  // The CPU, then what computes fastest: a graphics card of its own before one that shares the memory, software last.
  std::vector<DeviceInfo> sorted = devices;
  const auto place = [](const DeviceInfo& each) {
    const char* order[] = {"cpu", "discrete", "integrated", "virtual"};
    return std::find(std::begin(order), std::end(order), each.type) - std::begin(order);
  };
  std::stable_sort(sorted.begin(), sorted.end(), [&](const DeviceInfo& a, const DeviceInfo& b) { return place(a) < place(b); });
  for (const DeviceInfo& known : sorted) {
    devices_->addItem(device_title(known), QString::fromStdString(known.id));
    const int row = devices_->count() - 1;
    items->item(row)->setEnabled(known.usable);
    items->item(row)->setToolTip(known.usable ? QString::fromStdString(known.driver) : QString::fromStdString(known.why_not));
  }
  if (devices_->count() == 0) devices_->addItem(tr("CPU"), "cpu");
  setDevice(wanted);
}

std::string ChatSide::device() const {
  const QString id = devices_->currentData().toString();
  return id.isEmpty() ? "cpu" : id.toStdString();
}

void ChatSide::setDevice(const std::string& id) {
  const int row = devices_->findData(QString::fromStdString(id));
  devices_->setCurrentIndex(std::max(0, row));
  devices_->setToolTip(devices_->currentText());
}

void ChatSide::setState(const QString& state) {
  state_ = state;
  write();
}

void ChatSide::setSpeed(double tokens_per_second, double first_token_s) {
  speed_ = tokens_per_second;
  first_token_ = first_token_s;
  write();
}

void ChatSide::setMemory(qulonglong bytes) {
  memory_ = bytes;
  write();
}

void ChatSide::setSharing(const QString& with) {
  sharing_->setText(with);
  sharing_->setVisible(!with.isEmpty());
}

void ChatSide::write() {
  if (!state_.isEmpty()) return numbers_->setText(state_.toHtmlEscaped());
  const QString dash = QStringLiteral("–");
  const auto number = [](double value) { return QString::number(value, 'f', value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2); };
  numbers_->setText(tr("<span style='color:%1'>speed</span> <b>%2</b>&nbsp;&nbsp; <span style='color:%1'>first token</span> "
                       "<b>%3</b>&nbsp;&nbsp; <span style='color:%1'>memory</span> <b>%4</b>")
                        .arg(colours().dim.name(), speed_ > 0 ? tr("%1 tok/s").arg(number(speed_)) : dash,
                             first_token_ > 0 ? tr("%1 ms").arg(1000 * first_token_, 0, 'f', 0) : dash,
                             memory_ > 0 ? (memory_ >= (1ull << 30) / 10 ? format_gibibytes(memory_) : format_megabytes(memory_)) : dash));
}

void ChatSide::changeEvent(QEvent* event) {
  QWidget::changeEvent(event);
  if (event->type() == QEvent::PaletteChange) write();  // its text names a colour
}

void ChatSide::paintEvent(QPaintEvent*) {
  QPainter painter(this);
  draw_badge(painter, QRect(0, title_->geometry().center().y() - 8, 16, 16), side_ == 0);
}

}  // namespace lrc::app
