//! `TeamService`.

use keystile_contract::{
    Failure,
    convert::{parse, parse_optional},
    proto::issuance::v1::{
        CreateTeamRequest, CreateTeamResponse, GetTeamRequest, GetTeamResponse, ResumeTeamRequest,
        ResumeTeamResponse, RetireTokenKeyRequest, RetireTokenKeyResponse, SetPlanRequest,
        SetPlanResponse, SuspendTeamRequest, SuspendTeamResponse, team_service_server::TeamService,
    },
};
use keystile_domain::TeamId;
use tonic::{Request, Response, Status};

use super::convert;
use crate::Service;

fn team_id(text: &str) -> Result<TeamId, Failure> {
    parse("team_id", text)
}

#[tonic::async_trait]
impl TeamService for Service {
    async fn create_team(
        &self,
        request: Request<CreateTeamRequest>,
    ) -> Result<Response<CreateTeamResponse>, Status> {
        let caller = self.caller(&request, "")?;
        let id = team_id(&request.get_ref().team_id)?;
        let name = convert::name("name", &request.get_ref().name)?;
        let team = Service::create_team(self, &caller, id, name).await?;
        Ok(Response::new(CreateTeamResponse { team: Some(convert::team(&team)) }))
    }

    async fn get_team(
        &self,
        request: Request<GetTeamRequest>,
    ) -> Result<Response<GetTeamResponse>, Status> {
        let actor = self.actor(request.metadata())?;
        let named = parse_optional("team_id", &request.get_ref().team_id)?;
        let team = Service::get_team(self, &actor, named).await?;
        Ok(Response::new(GetTeamResponse { team: Some(convert::team(&team)) }))
    }

    async fn set_plan(
        &self,
        request: Request<SetPlanRequest>,
    ) -> Result<Response<SetPlanResponse>, Status> {
        let caller = self.caller(&request, "")?;
        let id = team_id(&request.get_ref().team_id)?;
        let plan = convert::plan(request.get_ref().plan.as_ref())?;
        let (team, outcome) = Service::set_plan(self, &caller, id, plan).await?;
        Ok(Response::new(SetPlanResponse {
            team: Some(convert::team(&team)),
            outcome: Some(convert::outcome(&outcome)),
        }))
    }

    async fn suspend_team(
        &self,
        request: Request<SuspendTeamRequest>,
    ) -> Result<Response<SuspendTeamResponse>, Status> {
        let caller = self.caller(&request, "")?;
        let id = team_id(&request.get_ref().team_id)?;
        let (team, outcome) = Service::suspend_team(self, &caller, id).await?;
        Ok(Response::new(SuspendTeamResponse {
            team: Some(convert::team(&team)),
            outcome: Some(convert::outcome(&outcome)),
        }))
    }

    async fn resume_team(
        &self,
        request: Request<ResumeTeamRequest>,
    ) -> Result<Response<ResumeTeamResponse>, Status> {
        let caller = self.caller(&request, "")?;
        let id = team_id(&request.get_ref().team_id)?;
        let (team, outcome) = Service::resume_team(self, &caller, id).await?;
        Ok(Response::new(ResumeTeamResponse {
            team: Some(convert::team(&team)),
            outcome: Some(convert::outcome(&outcome)),
        }))
    }

    async fn retire_token_key(
        &self,
        request: Request<RetireTokenKeyRequest>,
    ) -> Result<Response<RetireTokenKeyResponse>, Status> {
        let caller = self.caller(&request, "")?;
        let version = u8::try_from(request.get_ref().version)
            .ok()
            .filter(|version| *version > 0)
            .ok_or_else(|| Failure::invalid("version", "must be from 1 to 255"))?;
        let retired = Service::retire_token_key(self, &caller, version).await?;
        Ok(Response::new(RetireTokenKeyResponse {
            secrets: retired.secrets,
            outcome: Some(convert::outcome(&retired.outcome)),
        }))
    }
}
