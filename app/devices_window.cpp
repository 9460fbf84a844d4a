#include "devices_window.h"

#include <QApplication>
#include <QClipboard>
#include <QHeaderView>
#include <QLabel>
#include <QPushButton>
#include <QTreeWidget>
#include <QVBoxLayout>

#include "panels/panel_widgets.h"
#include "plot_style.h"
#include "workspace.h"

namespace lrc::app {

namespace {

QString counted(int devices) { return devices == 1 ? QObject::tr("1 device") : QObject::tr("%1 devices").arg(devices); }

QString scientific(double value) {
  return value == 0 ? QStringLiteral("0") : QString::number(value, 'e', 1).replace('-', QStringLiteral("−"));
}

QString speed(double value, const QString& unit) {
  return QString::number(value, value >= 100 ? 'f' : 'g', value >= 100 ? 0 : 3) + ' ' + unit;
}

QString verdict(const DeviceCheck& check) {
  if (!check.failure.empty()) return QStringLiteral("✗ ") + QString::fromStdString(check.failure);
  const KernelCheck* worst = check.worst();
  if (!check.passed() && worst)
    return QStringLiteral("✗ ") + QObject::tr("%1 is at fault").arg(QString::fromStdString(worst->kernel)) +
           (worst->failure.empty() ? QObject::tr(", relative error %1").arg(scientific(worst->largest_error))
                                   : QStringLiteral(": ") + QString::fromStdString(worst->failure));
  double largest = 0;
  for (const KernelCheck& kernel : check.kernels) largest = std::max(largest, kernel.largest_error);
  return QStringLiteral("✓ ") +
         QObject::tr("all %1 kernels agree, largest relative error %2").arg(check.kernels.size()).arg(scientific(largest));
}

std::vector<std::pair<QString, QString>> facts_of(const DeviceInfo& device) {
  std::vector<std::pair<QString, QString>> facts = {{QObject::tr("type"), QString::fromStdString(device.type)}};
  if (!device.driver.empty()) facts.emplace_back(QObject::tr("driver"), QString::fromStdString(device.driver));
  if (device.memory_bytes > 0) facts.emplace_back(QObject::tr("memory"), format_gibibytes(device.memory_bytes));
  QStringList features;
  for (const auto& feature : device.features) features << QString::fromStdString(feature);
  if (!features.isEmpty()) facts.emplace_back(QObject::tr("features"), features.join(", "));
  if (!device.usable) facts.emplace_back(QObject::tr("cannot be used"), QString::fromStdString(device.why_not));
  return facts;
}

}  // namespace

DevicesWindow::DevicesWindow(Workspace& workspace, QWidget* parent) : QDialog(parent), workspace_(workspace) {
  setObjectName("devicesWindow");
  setWindowTitle(tr("Devices"));
  auto* column = new QVBoxLayout(this);
  column->setContentsMargins(12, 12, 12, 12);
  column->setSpacing(8);
  sentence_ = make_sentence("devicesSentence", this);
  column->addWidget(sentence_);
  list_ = new QTreeWidget(this);
  list_->setObjectName("devicesList");
  list_->setAccessibleName(tr("Devices, their facts and their kernels"));
  list_->setColumnCount(2);
  list_->setHeaderHidden(true);
  list_->setAlternatingRowColors(true);
  list_->header()->setSectionResizeMode(0, QHeaderView::ResizeToContents);
  column->addWidget(list_, 1);
  auto* row = new QHBoxLayout;
  row->setSpacing(8);
  auto* copy = new QPushButton(tr("Copy report"), this);
  copy->setObjectName("devicesCopy");
  connect(copy, &QPushButton::clicked, this, [this] { QApplication::clipboard()->setText(report()); });
  test_ = new QPushButton(tr("Test all devices"), this);
  test_->setObjectName("devicesTest");
  test_->setToolTip(tr("Runs every kernel beside its scalar definition and measures speeds; a few seconds a device"));
  connect(test_, &QPushButton::clicked, this, &DevicesWindow::test);
  row->addWidget(copy);
  row->addStretch(1);
  row->addWidget(test_);
  column->addLayout(row);
  connect(&workspace_, &Workspace::devicesChanged, this, &DevicesWindow::fill);
  resize(620, 460);
  fill();
}

void DevicesWindow::fill() {
  list_->clear();
  const auto& devices = workspace_.devices();
  std::size_t passed = 0, failed = 0;
  for (const DeviceInfo& device : devices) {
    const bool tested = checks_.contains(device.id);
    auto* top = new QTreeWidgetItem(list_, {QString::fromStdString(device.id), QString::fromStdString(device.name).simplified()});
    top->setFont(1, font_of_points(font(), 9, true));
    top->setExpanded(true);
    for (const auto& [name, value] : facts_of(device)) {
      auto* fact = new QTreeWidgetItem(top, {name, value});
      fact->setToolTip(1, value);
    }
    if (!device.usable) continue;
    if (!tested) {
      new QTreeWidgetItem(top, {tr("self-test"), tr("not run yet")});
      continue;
    }
    const DeviceCheck& check = checks_.at(device.id);
    ++(check.passed() ? passed : failed);
    auto* result = new QTreeWidgetItem(top, {tr("self-test"), verdict(check)});
    result->setForeground(1, check.passed() ? colours().ok : colours().bad);
    result->setExpanded(!check.passed());
    for (const KernelCheck& kernel : check.kernels) {
      auto* line = new QTreeWidgetItem(
          result,
          {(kernel.passed() ? QStringLiteral("✓ ") : QStringLiteral("✗ ")) + QString::fromStdString(kernel.kernel),
           kernel.failure.empty() ? tr("relative error %1, allowed %2").arg(scientific(kernel.largest_error), scientific(kernel.allowed))
                                  : QString::fromStdString(kernel.failure)});
      if (!kernel.passed()) line->setForeground(1, colours().bad);
    }
    if (check.gigabytes_per_second > 0)
      new QTreeWidgetItem(
          top, {tr("speed"), tr("%1 read, %2 in float32, %3 W4A4")
                                 .arg(speed(check.gigabytes_per_second, tr("GB/s")), speed(check.giga_operations_per_second, tr("GOP/s")),
                                      speed(check.giga_integer_operations_per_second, tr("GOP/s")))});
  }
  if (devices.empty())
    sentence_->setText(tr("Looking for devices…"));
  else if (failed > 0)
    sentence_->setText(
        tr("<b>%1 of %2</b> tested devices do not compute what the definition says; do not use them.").arg(failed).arg(passed + failed));
  else if (passed > 0)
    sentence_->setText(tr("<b>%1</b> tested: every kernel agrees with its scalar definition.").arg(counted(int(passed))));
  else
    sentence_->setText(tr("<b>%1</b> found. The test runs every kernel beside its scalar definition.").arg(counted(int(devices.size()))));
}

void DevicesWindow::test() {
  test_->setEnabled(false);
  checks_.clear();
  testNext(0);
}

void DevicesWindow::testNext(std::size_t index) {
  const auto& devices = workspace_.devices();
  while (index < devices.size() && !devices[index].usable) ++index;
  fill();
  if (index >= devices.size()) {
    test_->setEnabled(true);
    return;
  }
  sentence_->setText(tr("Testing %1…").arg(QString::fromStdString(devices[index].name).simplified()));
  workspace_.queryLane().submit<DeviceCheck>(
      "self-test", this, [id = devices[index].id](Progress& progress, std::stop_token stop) { return check_device(id, progress, stop); },
      [this, index](DeviceCheck check) {
        checks_[check.id] = std::move(check);
        testNext(index + 1);
      },
      [this](const Error& error) {
        test_->setEnabled(true);
        if (error.kind() != ErrorKind::stopped) workspace_.log(LogLevel::warning, QString::fromUtf8(error.what()));
      },
      [this](const ProgressUpdate& update) { sentence_->setText(tr("Testing: %1").arg(QString::fromStdString(update.layer))); });
}

QString DevicesWindow::report() const {
  QStringList lines = {QApplication::applicationDisplayName() + ' ' + QApplication::applicationVersion()};
  for (const DeviceInfo& device : workspace_.devices()) {
    lines << QString("%1: %2").arg(QString::fromStdString(device.id), QString::fromStdString(device.name).simplified());
    for (const auto& [name, value] : facts_of(device)) lines << "  " + name + ": " + value;
    const auto check = checks_.find(device.id);
    if (check == checks_.end()) continue;
    lines << "  " + tr("self-test: ") + verdict(check->second);
    for (const KernelCheck& kernel : check->second.kernels)
      lines << QString("    %1 %2: %3")
                   .arg(kernel.passed() ? "ok" : "FAILED", QString::fromStdString(kernel.kernel),
                        QString::number(kernel.largest_error, 'e', 1));
    lines << QString("  %1 GB/s, %2 GOP/s float32, %3 GOP/s W4A4")
                 .arg(check->second.gigabytes_per_second, 0, 'f', 1)
                 .arg(check->second.giga_operations_per_second, 0, 'f', 1)
                 .arg(check->second.giga_integer_operations_per_second, 0, 'f', 1);
  }
  return lines.join('\n') + '\n';
}

}  // namespace lrc::app
