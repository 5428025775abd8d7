//! Replicas: one model on several devices, behind one name.

use std::sync::Arc;

use answer::LoadedModel;
use release::{Balance, Plan, Policy, Variant};

use super::catalog::{Place, Version};
use super::{Card, Catalog, KeepAlive, Resident};
use crate::{App, RouteSetup};

impl App {
    /// Puts further replicas of a model beside it, each with the device that it is on; the first is the model of this name and its device.
    /// From now on a request of the name goes to the replica where the fewest tokens are outstanding, and what one has begun whose
    /// device is lost goes on in the others. A route of this name that is set goes before.
    pub fn replicate(&self, name: &str, device: &str, others: Vec<(LoadedModel, String)>) {
        let variant = |number: usize, model: String, device: &str| Variant {
            id: id(number),
            model,
            devices: vec![device.to_owned()],
            ..Variant::default()
        };
        let mut variants = vec![variant(1, name.to_owned(), device)];
        let mut replicas: Vec<Arc<LoadedModel>> = Vec::new();
        let mut catalog = self.models.write();
        replicas.extend(catalog.find_model(name).ok().and_then(|(_, version)| version.model().cloned()));
        for ((model, device), number) in others.into_iter().zip(2..) {
            let resident = Resident::new(model, KeepAlive::Forever, &self.models.idle);
            replicas.push(Arc::clone(resident.model()));
            catalog.put_beside(name, id(number), resident);
            variants.push(variant(number, format!("{name}@{}", id(number)), &device));
        }
        drop(catalog);
        let engines: Vec<engine::EngineHandle> = replicas.iter().map(|model| model.engine().clone()).collect();
        for (own, engine) in engines.iter().enumerate() {
            let others = engines.iter().enumerate().filter(|(other, _)| *other != own);
            engine.succeeded_by(&others.map(|(_, other)| other.clone()).collect::<Vec<_>>());
        }
        let policy = Policy::Balance(Balance::LeastTokens);
        self.routes.replicate(RouteSetup { name: name.to_owned(), policy, variants, plan: Plan::default() });
        self.rebuild_routes();
    }
}

impl Catalog {
    /// Adds a version of a name that has one, in memory. The name means what it meant before.
    fn put_beside(&mut self, name: &str, id: String, resident: Resident) {
        let card = Some(Card::of(resident.model()));
        let version = Version { id, order: None, card, place: Place::Memory(resident) };
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.name == name) {
            // The last one is what the name means.
            entry.versions.insert(0, version);
        }
    }
}

/// The name of a replica among those of its model.
fn id(number: usize) -> String {
    format!("replica-{number}")
}
