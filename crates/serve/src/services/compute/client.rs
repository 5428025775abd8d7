//! The near end: carries an engine's messages over HTTP.

use std::sync::Arc;

use engine::{Answer, Courier};

use super::MESSAGES;
use crate::services::{Link, Trouble};

/// Carries messages to a computation manager.
#[derive(Clone, Debug)]
pub struct HttpCourier(Arc<Link>);

impl HttpCourier {
    /// Over this link.
    pub fn new(link: Arc<Link>) -> HttpCourier {
        HttpCourier(link)
    }
}

impl Courier for HttpCourier {
    fn carry(&mut self, message: &[u8], answer: &mut Answer) -> Result<(), String> {
        let mut bytes = Vec::new();
        let carried = self.0.carry((MESSAGES, "application/octet-stream"), message, &mut bytes);
        answer.replace(&bytes);
        carried.map_err(|trouble| match trouble {
            Trouble::Refused { message, .. } => message,
            Trouble::Away(why) => why,
        })
    }

    fn doubt(&mut self, why: &str) {
        self.0.failed(why.to_owned());
    }

    fn name(&self) -> String {
        self.0.title()
    }
}
