#include "status_bar.h"

#include <unistd.h>

#include <QFile>
#include <QPainter>
#include <QTimer>

#include "panels/panel_widgets.h"
#include "plot_style.h"
#include "workspace.h"

namespace lrc::app {

StatusItem::StatusItem(const QString& object_name, const QString& accessible_name, QWidget* parent) : QAbstractButton(parent) {
  setObjectName(object_name);
  setAccessibleName(accessible_name);
  setFocusPolicy(Qt::TabFocus);
  setSizePolicy(QSizePolicy::Maximum, QSizePolicy::Fixed);
  setFixedHeight(22);
}

void StatusItem::say(const QString& text, double bar) {
  if (text == this->text() && bar == bar_) return;
  const bool resized = text.size() != this->text().size() || (bar < 0) != (bar_ < 0);
  setText(text);
  bar_ = bar;
  if (resized) updateGeometry();
  update();
}

QSize StatusItem::sizeHint() const { return {fontMetrics().horizontalAdvance(text()) + 20 + (bar_ >= 0 ? 68 : 0), 22}; }
QSize StatusItem::minimumSizeHint() const { return {24, 22}; }

void StatusItem::paintEvent(QPaintEvent*) {
  QPainter painter(this);
  const Colours& c = colours();
  if (underMouse()) painter.fillRect(rect(), c.selected_row);
  const int bar = bar_ >= 0 && width() > 100 ? 68 : 0;
  const QRect inside = rect().adjusted(8, 0, -8 - bar, 0);
  painter.setPen(c.text);
  const QString shown = fontMetrics().elidedText(text(), Qt::ElideRight, inside.width());
  painter.drawText(inside, Qt::AlignLeft | Qt::AlignVCenter, shown);
  if (bar > 0) {
    const QRect frame(width() - 8 - 60, height() / 2 - 3, 60, 6);
    painter.fillRect(frame, c.line);
    painter.fillRect(QRect(frame.left(), frame.top(), int(60 * std::clamp(bar_, 0.0, 1.0)), 6), c.highlight);
  }
  if (hasFocus()) {
    painter.setPen(QPen(c.a_fill, 1));
    painter.drawRect(rect().adjusted(0, 0, -1, -1));
  }
}

void StatusItem::showEvent(QShowEvent*) { updateGeometry(); }

HostMemory host_memory() {
  HostMemory memory;
  if (QFile file("/proc/self/statm"); file.open(QIODevice::ReadOnly)) {
    const auto fields = file.readAll().split(' ');
    if (fields.size() > 1) memory.used = fields[1].toULongLong() * quint64(sysconf(_SC_PAGESIZE));
  }
  if (QFile file("/proc/meminfo"); file.open(QIODevice::ReadOnly)) {
    const QByteArray line = file.readLine().simplified();
    const auto fields = line.split(' ');
    if (fields.size() > 1) memory.total = fields[1].toULongLong() * 1024;
  }
  // A container may allow less than the machine has.
  if (QFile file("/sys/fs/cgroup/memory.max"); file.open(QIODevice::ReadOnly)) {
    bool ok = false;
    const quint64 limit = file.readAll().trimmed().toULongLong(&ok);
    if (ok && limit > 0) memory.total = memory.total ? std::min(memory.total, limit) : limit;
  }
  return memory;
}

StatusBar::StatusBar(Workspace& workspace, QWidget* parent) : QStatusBar(parent), workspace_(workspace) {
  setObjectName("statusBar");
  setSizeGripEnabled(false);
  message_ = new StatusItem("statusMessage", tr("Message"), this);
  message_->setSizePolicy(QSizePolicy::Ignored, QSizePolicy::Fixed);
  job_ = new StatusItem("statusJob", tr("Running job"), this);
  memory_ = new StatusItem("statusMemory", tr("Memory of this computer"), this);
  device_ = new StatusItem("statusDevice", tr("Compute devices"), this);
  log_ = new StatusItem("statusLog", tr("Log"), this);
  addWidget(message_, 1);
  for (StatusItem* item : {job_, memory_, device_, log_}) addPermanentWidget(item);
  log_->say(tr("Log 0 ⚠"));
  connect(message_, &QAbstractButton::clicked, this, [this] { emit logAsked(false); });
  connect(log_, &QAbstractButton::clicked, this, [this] { emit logAsked(true); });
  connect(job_, &QAbstractButton::clicked, this, &StatusBar::runAsked);
  connect(memory_, &QAbstractButton::clicked, this, &StatusBar::memoryAsked);
  connect(device_, &QAbstractButton::clicked, this, &StatusBar::devicesAsked);
  connect(&workspace, &Workspace::logged, this, [this](LogLevel level, const QString& text) {
    message_->say(text);
    message_->setToolTip(text);
    if (level != LogLevel::info) log_->say(tr("Log %1 ⚠").arg(++warnings_));
  });
  connect(&workspace, &Workspace::runsChanged, this, &StatusBar::update_job);
  connect(&workspace, &Workspace::runProgress, this, &StatusBar::update_job);
  connect(&workspace, &Workspace::measureProgress, this, &StatusBar::update_job);
  connect(&workspace, &Workspace::devicesChanged, this, &StatusBar::update_device);
  connect(&workspace, &Workspace::selectionChanged, this, [this] {
    const auto& layers = workspace_.selectedLayers();
    if (layers.size() == 1)
      message_->say(tr("%1 selected").arg(QString::fromStdString(workspace_.model()->layers()[std::size_t(layers.front())].name)));
    else if (!layers.empty())
      message_->say(tr("%1 layers selected").arg(layers.size()));
  });
  auto* clock = new QTimer(this);
  connect(clock, &QTimer::timeout, this, &StatusBar::update_memory);
  clock->start(1000);
  update_memory();
  update_job();
  update_device();
}

void StatusBar::update_job() {
  if (const auto measuring = workspace_.measuring()) {
    QString text = tr("Measuring  %1 %").arg(int(measuring->fraction * 100));
    if (measuring->remaining_s) text += tr("  %1 left").arg(format_duration(*measuring->remaining_s));
    job_->say(text, measuring->fraction);
    return;
  }
  const RunEntry* run = workspace_.runningRun();
  if (!run) {
    const auto queued = std::count_if(workspace_.runs().begin(), workspace_.runs().end(),
                                      [](const RunEntry& r) { return r.state == RunEntry::State::queued; });
    job_->say(queued > 0 ? tr("%1 queued").arg(queued) : tr("No run"));
    return;
  }
  QString text = QString("▶ %1  %2 %").arg(workspace_.slotTitle({run->number})).arg(int(run->progress.fraction * 100));
  if (!run->progress.stage.empty() && run->progress.stage != "solve")
    text = QString("▶ %1  %2 %3 %")
               .arg(workspace_.slotTitle({run->number}), QString::fromStdString(run->progress.stage))
               .arg(int(run->progress.fraction * 100));
  if (run->progress.remaining_s) text += tr("  %1 left").arg(format_duration(*run->progress.remaining_s));
  job_->say(text, run->progress.fraction);
}

void StatusBar::update_memory() {
  const HostMemory memory = host_memory();
  const double gibibyte = double(1ull << 30);
  memory_->say(tr("Host %1 / %2 GiB").arg(double(memory.used) / gibibyte, 0, 'f', 1).arg(double(memory.total) / gibibyte, 0, 'f', 1),
               memory.total > 0 ? double(memory.used) / double(memory.total) : 0);
}

void StatusBar::update_device() {
  const auto& devices = workspace_.devices();
  if (devices.empty()) {
    device_->say(tr("Looking for devices"));
    return;
  }
  const auto others =
      std::count_if(devices.begin(), devices.end(), [](const DeviceInfo& device) { return device.usable && device.id != "cpu"; });
  const QString name = QString::fromStdString(devices.front().name).simplified().remove("(R)").remove("(TM)").section(" @", 0, 0);
  device_->say(others > 0 ? tr("%1 · + %2 Vulkan").arg(name).arg(others) : name);
  device_->setToolTip(tr("Compute devices"));
}

}  // namespace lrc::app
