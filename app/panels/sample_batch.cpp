#include "panels/sample_batch.h"

#include <QLabel>
#include <QListWidget>
#include <QPushButton>
#include <QVBoxLayout>
#include <algorithm>

#include "panels/panel_widgets.h"
#include "plot_style.h"

namespace lrc::app {

const std::vector<SampleGroup>& sample_groups() {
  static const std::vector<SampleGroup> groups = {
      {QObject::tr("Facts"),
       {QObject::tr("What is the capital of Australia?"), QObject::tr("Name two causes of the First World War."),
        QObject::tr("Which planet is closest to the Sun?")}},
      {QObject::tr("Arithmetic"), {QObject::tr("What is 17 plus 25?"), QObject::tr("List three prime numbers.")}},
      {QObject::tr("Instruction"),
       {QObject::tr("Explain why the sky is blue in two sentences, for a child."),
        QObject::tr("Answer with one word: which colour do yellow and blue make?"), QObject::tr("Translate “good morning” into French.")}},
      {QObject::tr("Repetition"),
       {QObject::tr("Repeat exactly: The quick brown fox jumps over the lazy dog."),
        QObject::tr("Write the letters from A to J in order.")}},
      {QObject::tr("Code"), {QObject::tr("Write a Python function that reverses a string.")}},
      {QObject::tr("Writing"), {QObject::tr("Write a short poem about rain.")}},
  };
  return groups;
}

const std::vector<QString>& sample_prompts() {
  static const std::vector<QString> prompts = [] {
    std::vector<QString> all;
    for (const SampleGroup& group : sample_groups()) all.insert(all.end(), group.prompts.begin(), group.prompts.end());
    return all;
  }();
  return prompts;
}

SampleBatch::SampleBatch(QWidget* parent) : QWidget(parent) {
  auto* column = new QVBoxLayout(this);
  column->setContentsMargins(0, 0, 0, 0);
  column->setSpacing(4);
  run_ = new QPushButton(tr("Run all on A and B"), this);
  run_->setObjectName("runAllPrompts");
  run_->setToolTip(tr("A answers each sample prompt, B is scored at every token; the largest divergence stands first"));
  column->addWidget(run_);
  state_ = make_dim_label({}, this);
  state_->setObjectName("sampleBatchState");
  column->addWidget(state_);
  list_ = new QListWidget(this);
  list_->setObjectName("sampleResults");
  list_->setAccessibleName(tr("Sample prompts, the most different answer first"));
  list_->setTextElideMode(Qt::ElideRight);
  list_->setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
  list_->setFixedHeight(136);
  column->addWidget(list_);
  connect(run_, &QPushButton::clicked, this, [this] { running() ? stop() : start(); });
  connect(list_, &QListWidget::itemActivated, this,
          [this](QListWidgetItem* item) { emit chosen({results_[std::size_t(list_->row(item))].turn}); });
  fill();
}

void SampleBatch::setReady(bool ready) { run_->setEnabled(ready || running()); }

void SampleBatch::start() {
  results_.clear();
  next_ = 0;
  fill();
  emit promptAsked(sample_prompts().front());
}

void SampleBatch::stop() {
  next_.reset();
  fill();
}

void SampleBatch::take(const ChatTurn& turn) {
  if (!running()) return;
  by_ = turn.answers[1].by;
  if (const auto divergence = summarise(turn.answers[1].compared)) {
    results_.push_back({turn, *divergence});
    std::stable_sort(results_.begin(), results_.end(),
                     [](const Result& a, const Result& b) { return a.divergence.mean > b.divergence.mean; });
  }
  if (++*next_ >= sample_prompts().size()) next_.reset();
  fill();
  if (next_) emit promptAsked(sample_prompts()[*next_]);
}

void SampleBatch::fill() {
  run_->setText(running() ? tr("Stop after this one") : tr("Run all on A and B"));
  state_->setVisible(running() || !results_.empty());
  state_->setText(running() ? tr("%1 of %2").arg(*next_ + 1).arg(sample_prompts().size()) : tr("mean KL in nat, %1; worst first").arg(by_));
  list_->setVisible(!results_.empty());
  list_->clear();
  for (const Result& result : results_) {
    auto* item = new QListWidgetItem(QString("%1  %2").arg(format_kl(result.divergence.mean), result.turn.prompt), list_);
    item->setToolTip(tr("%1\nmean %2, p95 %3, max %4 nat, same top token %5 %")
                         .arg(result.turn.prompt, format_kl(result.divergence.mean), format_kl(result.divergence.p95),
                              format_kl(result.divergence.maximum))
                         .arg(100 * result.divergence.same_top, 0, 'f', 1));
  }
}

}  // namespace lrc::app
