//! `netem play`.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use starling_netem::Timeline;
use starling_netem::control::Client;

/// Every fault is leased: it ends when this command does, however it ends.
pub fn play(client: &mut Client, file: &Path) -> Result<(), Box<dyn Error>> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let timeline = Timeline::parse(&text, &file.display().to_string())?;
    if let Some(warning) = timeline.warning() {
        eprintln!("netem: {}: {warning}", file.display());
    }
    let start = Instant::now();
    for step in timeline.steps {
        std::thread::sleep(step.at.saturating_sub(start.elapsed()));
        eprintln!("{:7.3}s  {}", start.elapsed().as_secs_f64(), step.text);
        if let Some(action) = step.action {
            client
                .ask(&action.request(true))
                .map_err(|error| format!("{}:{}: {error}", file.display(), step.line))?;
        }
    }
    Ok(())
}
