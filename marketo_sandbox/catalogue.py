"""What a new sandbox holds: fields, partitions, channels, folders and programs of each type. All made up."""

from __future__ import annotations

import msgspec

from .fields import Field

NOT_IN_PROGRAM = "Not in Program"
DEFAULT_PARTITION = "Default"
FIRST_LEAD_ID = 100_001


class Status(msgspec.Struct, frozen=True):
    """A progression status of a channel. Members move to a status of a higher or equal step only."""

    name: str
    step: int
    success: bool = False
    hidden: bool = False


class Channel(msgspec.Struct, frozen=True):
    """A channel; programs name it, and take their statuses from it."""

    id: int
    name: str
    applicable_program_type: str
    statuses: tuple[Status, ...]

    def status(self, name: str) -> Status | None:
        """The status of exactly that name."""
        return next((status for status in self.statuses if status.name == name), None)


class Folder(msgspec.Struct, frozen=True):
    """A folder of Marketing Activities; `parent_id` None marks the root."""

    id: int
    name: str
    parent_id: int | None
    folder_type: str = "Marketing Folder"
    is_archive: bool = False
    is_system: bool = False


class Program(msgspec.Struct, frozen=True):
    """A program. `folder_type` "Program" means that it lies in another program (email within engagement)."""

    id: int
    name: str
    type: str
    channel: str
    folder_id: int
    folder_type: str = "Folder"
    status: str = ""
    description: str = ""
    tags: tuple[tuple[str, str], ...] = ()


URL_PREFIXES = {"Default": "PG", "Event": "ME", "Engagement": "NP", "Email": "EBP"}
FOLDER_TYPES = {
    "Default": "Marketing Program",
    "Event": "Marketing Event",
    "Engagement": "Nurture Program",
    "Email": "Email Batch Program",
}

PARTITIONS = {DEFAULT_PARTITION: 1, "EMEA": 4, "APAC": 5}

_NOBODY = Status(NOT_IN_PROGRAM, 0)

CHANNELS = (
    Channel(
        1,
        "Roadshow",
        "program",
        (
            _NOBODY,
            Status("Member", 10),
            Status("Invited", 10),
            Status("Registered", 20),
            Status("Attended", 30),
            Status("Engaged", 40, success=True),
        ),
    ),
    Channel(
        2,
        "Operational",
        "program",
        (_NOBODY, Status("On List", 10), Status("Member", 20), Status("Engaged", 30, success=True)),
    ),
    Channel(
        3,
        "Email Send",
        "email",
        (
            _NOBODY,
            Status("Sent", 10),
            Status("Opened", 20),
            Status("Clicked", 30, success=True),
            Status("Unsubscribed", 40),
        ),
    ),
    Channel(4, "Nurture", "nurture", (_NOBODY, Status("Member", 10), Status("Engaged", 20, success=True))),
    Channel(
        5,
        "Tradeshow",
        "event",
        (
            _NOBODY,
            Status("Invited", 10),
            Status("Registered", 20),
            Status("Waitlisted", 20),
            Status("No Show", 30),
            Status("Attended", 40, success=True),
            Status("Engaged", 50, success=True),
            Status("Influenced", 60, success=True, hidden=True),
        ),
    ),
    Channel(
        6,
        "Webinar",
        "event",
        (
            _NOBODY,
            Status("Invited", 10),
            Status("Registered", 20),
            Status("No Show", 30),
            Status("Attended", 40, success=True),
            Status("Attended On-demand", 40, success=True),
        ),
    ),
    # Equal steps, as Marketo's own people recommend: members move between the last two in both directions.
    Channel(
        7,
        "Tradeshow Equal",
        "event",
        (
            _NOBODY,
            Status("Registered", 20),
            Status("No Show", 30),
            Status("Attended", 30, success=True),
        ),
    ),
)

FOLDERS = (
    Folder(20, "Default", None, "Zone", is_system=True),
    Folder(512, "Events 2026", 20),
    Folder(513, "Nurture", 20),
    Folder(514, "Always on", 20),
    Folder(600, "Old years", 20, is_archive=True),
    Folder(601, "Events 2024", 600),
    Folder(602, "Second quarter", 601),
    # Its name proves nothing: only `isArchive` does.
    Folder(615, "Archive", 20),
)

PROGRAMS = (
    Program(1234, "Roadshow 2026", "Default", "Roadshow", 512, tags=(("Region", "EMEA"),)),
    Program(1001, "Newsletter audience", "Default", "Operational", 514),
    Program(1002, "Autumn invitation", "Email", "Email Send", 514, status="unlocked"),
    Program(1003, "Customer onboarding", "Engagement", "Nurture", 513, status="on"),
    Program(1004, "Spring Expo 2026", "Event", "Tradeshow", 512, tags=(("Region", "EMEA"),)),
    Program(1005, "Webinar: lead routing", "Event", "Webinar", 512),
    Program(1006, "Partner day 2026", "Event", "Tradeshow", 512),
    Program(1007, "Summit 2024", "Event", "Tradeshow", 602),
    Program(1008, "Always-on downloads", "Default", "Operational", 615),
    Program(1009, "Onboarding mail 1", "Email", "Email Send", 1003, folder_type="Program", status="unlocked"),
    Program(1010, "Harbour Fair 2026", "Event", "Tradeshow Equal", 512),
)

LEAD_FIELDS = (
    Field("id", "Id", "integer", updateable=False, searchable=True),
    Field("email", "Email Address", "email", 255, searchable=True),
    Field("firstName", "First Name", length=255),
    Field("middleName", "Middle Name", length=255),
    Field("lastName", "Last Name", length=255),
    Field("salutation", "Salutation", length=255),
    Field("title", "Job Title", length=255),
    Field("department", "Department", length=255),
    Field("phone", "Phone Number", "phone", 255),
    Field("mobilePhone", "Mobile Phone Number", "phone", 255),
    Field("fax", "Fax Number", "phone", 255),
    Field("address", "Address", "text"),
    Field("city", "City", length=255),
    Field("state", "State", length=255),
    Field("postalCode", "Postal Code", length=255),
    Field("country", "Country", length=255),
    Field("dateOfBirth", "Date of Birth", "date"),
    Field("leadSource", "Person Source", length=255),
    Field("leadStatus", "Person Status", length=255),
    Field("leadScore", "Person Score", "score"),
    Field("rating", "Person Rating", length=255),
    Field("unsubscribed", "Unsubscribed", "boolean"),
    Field("unsubscribedReason", "Unsubscribed Reason", "text"),
    Field("emailInvalid", "Email Invalid", "boolean"),
    Field("doNotCall", "Do Not Call", "boolean"),
    Field("marketingSuspended", "Marketing Suspended", "boolean"),
    Field("blackListed", "Black Listed", "boolean"),
    Field("acquisitionProgramId", "Acquisition Program", "reference"),
    Field("company", "Company Name", length=255, company=True),
    Field("billingStreet", "Billing Address", "text", company=True),
    Field("billingCity", "Billing City", length=255, company=True),
    Field("billingState", "Billing State", length=255, company=True),
    Field("billingPostalCode", "Billing Postal Code", length=255, company=True),
    Field("billingCountry", "Billing Country", length=255, company=True),
    Field("website", "Website", "url", 255, company=True),
    Field("industry", "Industry", length=255, company=True),
    Field("mainPhone", "Main Phone", "phone", 255, company=True),
    Field("annualRevenue", "Annual Revenue", "currency", company=True),
    Field("numberOfEmployees", "Num Employees", "integer", company=True),
    Field("externalCompanyId", "External Company Id", length=255),
    Field("sfdcLeadId", "SFDC Lead Id", length=255, updateable=False, searchable=True),
    Field("sfdcContactId", "SFDC Contact Id", length=255, updateable=False, searchable=True),
    Field("sfdcAccountId", "SFDC Account Id", length=255, updateable=False, searchable=True),
    Field("twitterId", "Twitter Id", length=255, searchable=True),
    Field("facebookId", "Facebook Id", length=255, searchable=True),
    Field("linkedInId", "LinkedIn Id", length=255, searchable=True),
    Field("cookies", "Marketo Cookie", length=255, updateable=False, searchable=True),
    Field("leadPartitionId", "Lead Partition Id", "integer", updateable=False, searchable=True),
    Field("createdAt", "Created At", "datetime", updateable=False),
    Field("updatedAt", "Updated At", "datetime", updateable=False),
    Field("isAnonymous", "Is Anonymous", "boolean", updateable=False),
    Field("priority", "Priority", "integer", updateable=False),
    Field("relativeScore", "Relative Score", "integer", updateable=False),
    Field("urgency", "Urgency", "float", updateable=False),
    # From here on what an admin of this instance has added.
    Field("badgeId", "Badge Id", length=255, searchable=True),
    Field("externalPersonId", "External Person Id", length=255, searchable=True),
    Field("customerNumber", "Customer Number", "integer", searchable=True),
    Field("workEmail", "Work Email", "email", 255, searchable=True),
    Field("linkedInUrl", "LinkedIn URL", "url", 255),
    Field("eventNotes", "Event Notes", "text"),
    Field("numberOfScans", "Number of Scans", "integer"),
    Field("fitScore", "Fit Score", "float"),
    Field("budget", "Budget", "currency"),
    Field("newsletterOptIn", "Newsletter Opt-in", "boolean"),
    Field("lastEventDate", "Last Event Date", "date"),
    Field("lastScanAt", "Last Scan At", "datetime"),
)

MEMBER_FIELDS = (
    Field("acquiredBy", "acquiredBy", "boolean", importable=False),
    Field("attendanceLikelihood", "attendanceLikelihood", "integer", updateable=False),
    Field("createdAt", "createdAt", "datetime", updateable=False),
    Field("isExhausted", "isExhausted", "boolean", updateable=False),
    Field("leadId", "leadId", "integer", updateable=False, searchable=True),
    Field("membershipDate", "membershipDate", "datetime", updateable=False),
    Field("nurtureCadence", "nurtureCadence", length=4, updateable=False),
    Field("program", "program", length=255, updateable=False),
    Field("programId", "programId", "integer", updateable=False),
    Field("reachedSuccess", "reachedSuccess", "boolean", updateable=False, searchable=True),
    Field("reachedSuccessDate", "reachedSuccessDate", "datetime", updateable=False),
    Field("registrationLikelihood", "registrationLikelihood", "integer", updateable=False),
    Field("statusName", "statusName", length=255, updateable=False, searchable=True),
    Field("statusReason", "statusReason", length=255, importable=False),
    Field("trackName", "trackName", length=255, updateable=False),
    Field("updatedAt", "updatedAt", "datetime", updateable=False),
    Field("waitlistPriority", "waitlistPriority", "integer", updateable=False),
    # Custom fields, shared by all programs.
    Field("registrationCode", "Registration Code", length=100, searchable=True),
    Field("webinarUrl", "Webinar URL", "url", 2000),
    Field("boothNotes", "Booth Notes", length=255),
    Field("seatNumber", "Seat Number", "integer", searchable=True),
    Field("vip", "VIP", "boolean"),
    Field("dealSize", "Deal Size", "float"),
    Field("arrivalDate", "Arrival Date", "date"),
    Field("checkedInAt", "Checked In At", "datetime"),
)
